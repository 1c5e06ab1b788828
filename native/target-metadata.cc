// What a restored entry is given: owner, attributes, mode and times, never through a symlink; and small files made whole, with all of it, in one call.
// Layouts: lib/native.ts, TargetKernels.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "addon.h"
#include "paths.h"
#include "target.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace varve {
namespace {

enum : uint8_t { OWNER = 1, MODE = 2, TIMES = 4, XATTRS = 8 };
constexpr mode_t SET_ID_BITS = S_ISUID | S_ISGID;

struct Wanted {
  uint8_t what;
  uid_t uid;
  gid_t gid;
  mode_t mode;
  struct timespec times[2];
};

Wanted wanted(uint8_t what, uint32_t uid, uint32_t gid, uint32_t mode, int64_t seconds, uint32_t nanoseconds) {
  Wanted all = {what, uid, gid, static_cast<mode_t>(mode & 07777), {}};
  all.times[0].tv_nsec = UTIME_OMIT;
  all.times[1].tv_sec = seconds;
  all.times[1].tv_nsec = nanoseconds;
  return all;
}

/** chmod that never follows a symlink. */
int changeMode(int directory, const char* name, mode_t mode) {
  if (syscall(SYS_fchmodat2, directory, name, mode, AT_SYMLINK_NOFOLLOW) == 0) return 0;
  if (errno != ENOSYS && errno != EPERM) return errno;
  // Before Linux 6.6 (or behind a filter): through a descriptor that is known not to be a symlink.
  Descriptor fd(openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat s;
  if (fd.get() < 0 || fstat(fd.get(), &s) != 0) return errno;
  if (S_ISLNK(s.st_mode)) return EOPNOTSUPP;
  std::string path = "/proc/self/fd/" + std::to_string(fd.get());
  return chmod(path.c_str(), mode) == 0 ? 0 : errno;
}

using Attributes = std::vector<std::pair<std::string, std::string>>;

Attributes attributesArg(const Napi::CallbackInfo& info, size_t index) {
  Napi::Env env = info.Env();
  if (!info[index].IsArray()) throw Napi::TypeError::New(env, "xattrs must be an array");
  Napi::Array list = info[index].As<Napi::Array>();
  Attributes attributes;
  for (uint32_t i = 0; i < list.Length(); i++) {
    Napi::Value item = list[i];
    if (!item.IsArray()) throw Napi::TypeError::New(env, "an xattr must be [name, value]");
    Napi::Value name = item.As<Napi::Array>()[0u];
    Napi::Value value = item.As<Napi::Array>()[1u];
    if (!name.IsTypedArray() || !value.IsTypedArray()) throw Napi::TypeError::New(env, "an xattr must be [name, value]");
    auto text = [](Napi::Value from) {
      Napi::Uint8Array bytes = from.As<Napi::Uint8Array>();
      return bytes.ByteLength() == 0 ? std::string() : std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
    };
    attributes.emplace_back(text(name), text(value));
  }
  return attributes;
}

Napi::Value setMetadataAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  auto what = static_cast<uint8_t>(integerArg(info, 2, "what", 0, 15));
  uint32_t uid = u32Arg(info, 3, "uid");
  uint32_t gid = u32Arg(info, 4, "gid");
  auto mode = static_cast<uint32_t>(integerArg(info, 5, "mode", 0, 07777));
  int64_t seconds = integerArg(info, 6, "mtimeSec", -static_cast<int64_t>(MAX_SAFE), static_cast<int64_t>(MAX_SAFE));
  auto nanoseconds = static_cast<uint32_t>(integerArg(info, 7, "mtimeNsec", 0, 999999999));
  Attributes attributes;
  if (what & XATTRS) attributes = attributesArg(info, 8);
  std::string name = pathArg(info, 1, "name");
  bool self = name.empty();
  if (!self) name = nameArg(info, 1, "name");
  Wanted all = wanted(what, uid, gid, mode, seconds, nanoseconds);

  std::vector<uint32_t> failed;
  auto note = [&failed](uint32_t step, int error) {
    failed.push_back(step);
    failed.push_back(static_cast<uint32_t>(error));
  };
  if (what & OWNER) {
    int result = self ? fchown(directory, uid, gid) : fchownat(directory, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW);
    if (result != 0) {
      note(OWNER, errno);
      all.mode &= ~SET_ID_BITS;
    }
  }
  std::string place = "/proc/self/fd/" + std::to_string(directory) + "/" + name;
  for (size_t i = 0; i < attributes.size(); i++) {
    const auto& [key, value] = attributes[i];
    int result = self ? fsetxattr(directory, key.c_str(), value.data(), value.size(), 0)
                      : lsetxattr(place.c_str(), key.c_str(), value.data(), value.size(), 0);
    if (result != 0) note(XATTRS + static_cast<uint32_t>(i) * 256, errno);
  }
  if (what & MODE) {
    int error = self ? (fchmod(directory, all.mode) == 0 ? 0 : errno) : changeMode(directory, name.c_str(), all.mode);
    if (error != 0) note(MODE, error);
  }
  if (what & TIMES) {
    int result = self ? futimens(directory, all.times) : utimensat(directory, name.c_str(), all.times, AT_SYMLINK_NOFOLLOW);
    if (result != 0) note(TIMES, errno);
  }
  Napi::Array out = Napi::Array::New(env, failed.size());
  for (uint32_t i = 0; i < failed.size(); i++) out.Set(i, Napi::Number::New(env, failed[i]));
  return out;
}

/** Creates one file whole. Returns an errno or 0; what it created and could not finish is removed. */
int writeOneFile(int directory, const char* name, const uint8_t* data, uint32_t length, Wanted& all) {
  Descriptor fd(createFile(directory, name, S_IRUSR | S_IWUSR));
  if (fd.get() < 0) return errno;
  int error = writeAll(fd.get(), data, length, 0);
  if (error != 0) {
    unlinkat(directory, name, 0);
    return error;
  }
  if ((all.what & OWNER) && fchown(fd.get(), all.uid, all.gid) != 0) {
    error = errno;
    all.mode &= ~SET_ID_BITS;
  }
  if ((all.what & MODE) && fchmod(fd.get(), all.mode) != 0) error = errno;
  if ((all.what & TIMES) && futimens(fd.get(), all.times) != 0) error = errno;
  // Network file systems report what could not be written when the file is closed.
  if (close(fd.release()) != 0 && errno != EINTR) {
    error = errno;
    unlinkat(directory, name, 0);
  }
  return error;
}

constexpr size_t RECORD_TAIL_BYTES = 33;

Napi::Value writeFilesAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  Bytes request = bytesArg(info, 1, "request");
  Bytes data = bytesArg(info, 2, "data");
  std::vector<size_t> records;
  // All of the request is checked before the first file is made.
  for (size_t at = 0; at < request.size;) {
    if (!inside(at, 2, request.size)) throw rangeError(env, "the request is cut short");
    size_t nameLength = load<uint16_t>(request.data + at);
    if (!inside(at + 2, nameLength + RECORD_TAIL_BYTES, request.size)) throw rangeError(env, "the request is cut short");
    const uint8_t* tail = request.data + at + 2 + nameLength;
    if (!isEntryName(reinterpret_cast<const char*>(request.data + at + 2), nameLength)) throw rangeError(env, "the request holds an impossible name");
    if (!inside(load<uint32_t>(tail), load<uint32_t>(tail + 4), data.size)) throw rangeError(env, "a file's bytes lie outside the data");
    if (load<uint32_t>(tail + 28) > 999999999) throw rangeError(env, "a time's nanoseconds are out of range");
    records.push_back(at);
    at += 2 + nameLength + RECORD_TAIL_BYTES;
  }
  Napi::Uint32Array out = Napi::Uint32Array::New(env, records.size());
  char name[256];
  for (size_t i = 0; i < records.size(); i++) {
    const uint8_t* record = request.data + records[i];
    size_t nameLength = load<uint16_t>(record);
    std::memcpy(name, record + 2, nameLength);
    name[nameLength] = 0;
    const uint8_t* tail = record + 2 + nameLength;
    Wanted all = wanted(tail[32], load<uint32_t>(tail + 8), load<uint32_t>(tail + 12), load<uint32_t>(tail + 16), load<int64_t>(tail + 20), load<uint32_t>(tail + 28));
    out[i] = static_cast<uint32_t>(writeOneFile(directory, name, data.data + load<uint32_t>(tail), load<uint32_t>(tail + 4), all));
  }
  return out;
}

}  // namespace

void initTargetMetadata(Napi::Env env, Napi::Object exports) {
  add<setMetadataAt>(env, exports, "setMetadataAt");
  add<writeFilesAt>(env, exports, "writeFilesAt");
}

}  // namespace varve
