// What a restored entry is given, through a descriptor of that very entry: owner, attributes, times and, last, its mode; and small files made whole, with
// all of it, in one call. By name nothing is given: in a directory of somebody else's the name may be another entry's by now.
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

enum : uint8_t { OWNER = 1, MODE = 2, TIMES = 4, XATTRS = 8, STRIP = 16, CLEAR = 32 };
constexpr mode_t SET_ID_BITS = S_ISUID | S_ISGID;
/** Mode of a file that is not whole yet: nobody else's, and with a bit that means nothing for a file. */
constexpr mode_t UNFINISHED = S_ISVTX | S_IRUSR | S_IWUSR;
constexpr char ACCESS_ACL[] = "system.posix_acl_access";
constexpr char DEFAULT_ACL[] = "system.posix_acl_default";

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

std::string placeOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// Each works on a descriptor of any kind: those opened with O_PATH, which symlinks and special files have, are refused (EBADF) by the plain call.

int changeOwner(int fd, uid_t uid, gid_t gid) { return fchownat(fd, "", uid, gid, AT_EMPTY_PATH) == 0 ? 0 : errno; }

int changeMode(int fd, mode_t mode) {
  if (fchmod(fd, mode) == 0) return 0;
  if (errno != EBADF) return errno;
  if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0) return 0;
  if (errno != ENOSYS && errno != EPERM) return errno;
  // Before Linux 6.6 (or behind a filter): chmod(2) would follow a symlink.
  struct stat s;
  if (fstat(fd, &s) != 0) return errno;
  if (S_ISLNK(s.st_mode)) return EOPNOTSUPP;
  return chmod(placeOf(fd).c_str(), mode) == 0 ? 0 : errno;
}

int changeTimes(int fd, const struct timespec* times) {
  if (futimens(fd, times) == 0) return 0;
  if (errno != EBADF) return errno;
  if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0) return 0;
  if (errno != EINVAL) return errno;
  // Before Linux 5.8. The link in /proc leads to the entry itself, be it a symlink.
  return utimensat(AT_FDCWD, placeOf(fd).c_str(), times, 0) == 0 ? 0 : errno;
}

int setAttribute(int fd, const std::string& name, const std::string& value) {
  if (fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) return 0;
  if (errno != EBADF) return errno;
  return setxattr(placeOf(fd).c_str(), name.c_str(), value.data(), value.size(), 0) == 0 ? 0 : errno;
}

int removeAttribute(int fd, const char* name) {
  if (fremovexattr(fd, name) == 0) return 0;
  if (errno != EBADF) return errno;
  return removexattr(placeOf(fd).c_str(), name) == 0 ? 0 : errno;
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

/** Rights of the owning group in an access ACL as the kernel hands it out; `otherwise` when it is none. */
mode_t groupRights(const std::string& acl, mode_t otherwise) {
  constexpr uint16_t GROUP_OBJ = 4;
  const auto* bytes = reinterpret_cast<const uint8_t*>(acl.data());
  for (size_t at = 4; at + 8 <= acl.size(); at += 8)
    if (load<uint16_t>(bytes + at) == GROUP_OBJ) return static_cast<mode_t>((load<uint16_t>(bytes + at + 2) & 7) << 3);
  return otherwise;
}

bool isWanted(const Attributes& attributes, const std::string& name) {
  for (const auto& attribute : attributes)
    if (attribute.first == name) return true;
  return false;
}

/** Whether a restore may take it away. What else the system keeps in `security.` and `system.` is the target system's own. */
bool isRemovable(const std::string& name) {
  return name.starts_with("user.") || name.starts_with("trusted.") || name == "security.capability" || name == ACCESS_ACL || name == DEFAULT_ACL;
}

/** Removes what `attributes` does not have. What cannot be listed or removed is passed over but for ACLs, which give rights. */
template <typename Note>
void clearAttributes(int fd, const Attributes& attributes, const Note& note) {
  std::vector<char> list(4096);
  ssize_t got;
  while ((got = flistxattr(fd, list.data(), list.size())) < 0) {
    if (errno == EBADF) got = listxattr(placeOf(fd).c_str(), list.data(), list.size());
    if (got >= 0) break;
    if (errno != ERANGE) return;
    list.resize(list.size() * 4);
  }
  for (ssize_t at = 0; at < got; at += static_cast<ssize_t>(std::strlen(list.data() + at)) + 1) {
    std::string name = list.data() + at;
    if (isWanted(attributes, name) || !isRemovable(name)) continue;
    int error = removeAttribute(fd, name.c_str());
    if (error != 0 && error != ENODATA) note(CLEAR, error);
  }
}

/** Gives `fd` what is wanted; calls `note(step, errno)` for each step that fails. */
template <typename Note>
void giveMetadata(int fd, Wanted& all, const Attributes& attributes, const Note& note) {
  if (all.what & OWNER) {
    if (int error = changeOwner(fd, all.uid, all.gid)) {
      note(OWNER, error);
      all.mode &= ~SET_ID_BITS;
    }
  }
  if (all.what & CLEAR) clearAttributes(fd, attributes, note);
  else if (all.what & STRIP) {
    if (!isWanted(attributes, ACCESS_ACL)) {
      int error = removeAttribute(fd, ACCESS_ACL);
      if (error != 0 && error != ENODATA && error != EOPNOTSUPP) note(CLEAR, error);
    }
  }
  for (size_t i = 0; i < attributes.size(); i++) {
    int error = setAttribute(fd, attributes[i].first, attributes[i].second);
    if (error == 0) continue;
    note(XATTRS + static_cast<uint32_t>(i) * 256, error);
    // Beside an ACL the group's bits of the mode are its mask; without it they would be the group's rights.
    if (attributes[i].first == ACCESS_ACL) all.mode = (all.mode & ~static_cast<mode_t>(S_IRWXG)) | groupRights(attributes[i].second, 0);
  }
  if (all.what & TIMES) {
    if (int error = changeTimes(fd, all.times)) note(TIMES, error);
  }
  // Last, because the mode says that the entry is whole.
  if (all.what & MODE) {
    if (int error = changeMode(fd, all.mode)) note(MODE, error);
  }
}

Napi::Value setMetadataFd(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = fdArg(info, 0, "fd");
  auto what = static_cast<uint8_t>(integerArg(info, 1, "what", 0, 63));
  uint32_t uid = u32Arg(info, 2, "uid");
  uint32_t gid = u32Arg(info, 3, "gid");
  auto mode = static_cast<uint32_t>(integerArg(info, 4, "mode", 0, 07777));
  int64_t seconds = integerArg(info, 5, "mtimeSec", -static_cast<int64_t>(MAX_SAFE), static_cast<int64_t>(MAX_SAFE));
  auto nanoseconds = static_cast<uint32_t>(integerArg(info, 6, "mtimeNsec", 0, 999999999));
  Attributes attributes = attributesArg(info, 7);
  Wanted all = wanted(what, uid, gid, mode, seconds, nanoseconds);
  std::vector<uint32_t> failed;
  giveMetadata(fd, all, attributes, [&failed](uint32_t step, int error) {
    failed.push_back(step);
    failed.push_back(static_cast<uint32_t>(error));
  });
  Napi::Array out = Napi::Array::New(env, failed.size());
  for (uint32_t i = 0; i < failed.size(); i++) out.Set(i, Napi::Number::New(env, failed[i]));
  return out;
}

/** Creates one file whole; `note(0, errno)` when it could not be, and then it is gone again. */
template <typename Note>
void writeOneFile(int directory, const char* name, const uint8_t* data, uint32_t length, Wanted& all, const Attributes& attributes, const Note& note) {
  Descriptor fd(createFile(directory, name, UNFINISHED));
  if (fd.get() < 0) {
    note(0, errno);
    return;
  }
  if (int error = writeAll(fd.get(), data, length, 0)) {
    unlinkat(directory, name, 0);
    note(0, error);
    return;
  }
  giveMetadata(fd.get(), all, attributes, note);
  // Network file systems report what could not be written when the file is closed.
  if (close(fd.release()) != 0 && errno != EINTR) {
    note(0, errno);
    unlinkat(directory, name, 0);
  }
}

constexpr size_t RECORD_HEAD_BYTES = 6;
constexpr size_t RECORD_TAIL_BYTES = 33;

/** The attributes of a record: `u16 name length, u32 value length, name, value` each. Empty with `fits` false when they are cut short. */
Attributes attributesOf(const uint8_t* bytes, size_t size, bool& fits) {
  Attributes attributes;
  fits = true;
  for (size_t at = 0; at < size;) {
    fits = inside(at, 6, size);
    if (!fits) break;
    size_t nameLength = load<uint16_t>(bytes + at);
    size_t valueLength = load<uint32_t>(bytes + at + 2);
    fits = inside(at + 6, nameLength + valueLength, size);
    if (!fits) break;
    const char* name = reinterpret_cast<const char*>(bytes + at + 6);
    attributes.emplace_back(std::string(name, nameLength), std::string(name + nameLength, valueLength));
    at += 6 + nameLength + valueLength;
  }
  return attributes;
}

Napi::Value writeFilesAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  Bytes request = bytesArg(info, 1, "request");
  Bytes data = bytesArg(info, 2, "data");
  std::vector<size_t> records;
  // All of the request is checked before the first file is made.
  for (size_t at = 0; at < request.size;) {
    if (!inside(at, RECORD_HEAD_BYTES, request.size)) throw rangeError(env, "the request is cut short");
    size_t nameLength = load<uint16_t>(request.data + at);
    size_t attributeBytes = load<uint32_t>(request.data + at + 2);
    const uint8_t* name = request.data + at + RECORD_HEAD_BYTES;
    if (!inside(at + RECORD_HEAD_BYTES, nameLength + attributeBytes + RECORD_TAIL_BYTES, request.size)) throw rangeError(env, "the request is cut short");
    const uint8_t* tail = name + nameLength + attributeBytes;
    if (!isEntryName(reinterpret_cast<const char*>(name), nameLength)) throw rangeError(env, "the request holds an impossible name");
    if (!inside(load<uint32_t>(tail), load<uint32_t>(tail + 4), data.size)) throw rangeError(env, "a file's bytes lie outside the data");
    if (load<uint32_t>(tail + 28) > 999999999) throw rangeError(env, "a time's nanoseconds are out of range");
    bool fits = true;
    if (attributeBytes != 0) attributesOf(name + nameLength, attributeBytes, fits);
    if (!fits) throw rangeError(env, "a file's attributes are cut short");
    records.push_back(at);
    at += RECORD_HEAD_BYTES + nameLength + attributeBytes + RECORD_TAIL_BYTES;
  }
  std::vector<uint32_t> failed;
  char name[256];
  for (size_t i = 0; i < records.size(); i++) {
    const uint8_t* record = request.data + records[i];
    size_t nameLength = load<uint16_t>(record);
    size_t attributeBytes = load<uint32_t>(record + 2);
    std::memcpy(name, record + RECORD_HEAD_BYTES, nameLength);
    name[nameLength] = 0;
    const uint8_t* behind = record + RECORD_HEAD_BYTES + nameLength;
    const uint8_t* tail = behind + attributeBytes;
    Attributes attributes;
    bool fits = true;
    if (attributeBytes != 0) attributes = attributesOf(behind, attributeBytes, fits);
    Wanted all = wanted(tail[32], load<uint32_t>(tail + 8), load<uint32_t>(tail + 12), load<uint32_t>(tail + 16), load<int64_t>(tail + 20), load<uint32_t>(tail + 28));
    writeOneFile(directory, name, data.data + load<uint32_t>(tail), load<uint32_t>(tail + 4), all, attributes, [&](uint32_t step, int error) {
      failed.push_back(static_cast<uint32_t>(i));
      failed.push_back(step);
      failed.push_back(static_cast<uint32_t>(error));
    });
  }
  Napi::Uint32Array out = Napi::Uint32Array::New(env, failed.size());
  if (!failed.empty()) std::memcpy(out.Data(), failed.data(), failed.size() * sizeof failed[0]);
  return out;
}

Napi::Value attributeOfFd(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = fdArg(info, 0, "fd");
  std::string name = pathArg(info, 1, "name");
  std::string value(65536, 0);
  ssize_t got = fgetxattr(fd, name.c_str(), value.data(), value.size());
  if (got >= 0) return copyOut(env, value.data(), static_cast<size_t>(got));
  if (errno == ENODATA || errno == EOPNOTSUPP) return env.Undefined();
  throw systemError(env, errno, "fgetxattr", name);
}

}  // namespace

void initTargetMetadata(Napi::Env env, Napi::Object exports) {
  add<setMetadataFd>(env, exports, "setMetadataFd");
  add<attributeOfFd>(env, exports, "attributeOfFd");
  add<writeFilesAt>(env, exports, "writeFilesAt");
}

}  // namespace varve
