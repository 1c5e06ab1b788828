// Writes the target of a restore: every call names one entry of an open directory, and no call follows a symlink.
// Decides nothing: what may be replaced, and in which order, is lib/restore's. Layouts: lib/native.ts, TargetKernels.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "addon.h"
#include "paths.h"
#include "stat_record.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

namespace varve {
namespace {

enum : uint8_t { OWNER = 1, MODE = 2, TIMES = 4, XATTRS = 8 };
constexpr mode_t SET_ID_BITS = S_ISUID | S_ISGID;
constexpr int DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

bool isEntryName(const char* name, size_t length) {
  if (length == 0 || length > 255 || std::memchr(name, '/', length) != nullptr || std::memchr(name, 0, length) != nullptr) return false;
  return !(name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

/** The name of one entry of a directory: anything that could lead elsewhere is a RangeError. */
std::string nameArg(const Napi::CallbackInfo& info, size_t index, const char* what) {
  std::string name = pathArg(info, index, what);
  if (!isEntryName(name.data(), name.size())) throw rangeError(info.Env(), std::string(what) + " must be the name of a directory entry");
  return name;
}

template <typename Call>
auto retrying(Call call) {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

/** Opens a directory beneath `base`, one component at a time: where the kernel has no openat2(2). */
int walkBeneath(int base, const std::string& path) {
  Descriptor owned;
  for (size_t at = 0; at < path.size();) {
    size_t slash = path.find('/', at);
    if (slash == std::string::npos) slash = path.size();
    if (!isEntryName(path.data() + at, slash - at)) {
      errno = EXDEV;
      return -1;
    }
    std::string name = path.substr(at, slash - at);
    Descriptor next(retrying([&] { return openat(owned.get() < 0 ? base : owned.get(), name.c_str(), DIRECTORY_FLAGS); }));
    if (next.get() < 0) return -1;
    owned = std::move(next);
    at = slash + 1;
  }
  return owned.release();
}

int openPieceBeneath(int base, const std::string& path) {
  struct open_how how = {};
  how.flags = DIRECTORY_FLAGS;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = retrying([&] { return syscall(SYS_openat2, base, path.c_str(), &how, sizeof how); });
  // Containers' system call filters answer EPERM or ENOSYS for calls they do not know.
  if (fd < 0 && (errno == ENOSYS || errno == EPERM)) return walkBeneath(base, path);
  return static_cast<int>(fd);
}

Napi::Value openDirBeneath(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int root = fdArg(info, 0, "rootFd");
  std::string path = pathArg(info, 1, "path");
  if (path.empty()) {
    int fd = retrying([&] { return openat(root, ".", DIRECTORY_FLAGS); });
    if (fd < 0) throw systemError(env, errno, "openat");
    return Napi::Number::New(env, fd);
  }
  if (path.front() == '/') throw systemError(env, EXDEV, "openat2", path);
  Descriptor owned;
  for (size_t at = 0; at < path.size();) {
    size_t end = path.size();
    if (end - at >= PATH_MAX) {
      end = path.rfind('/', at + PATH_MAX - 2);
      if (end == std::string::npos || end <= at) throw systemError(env, ENAMETOOLONG, "openat2", path);
    }
    Descriptor next(openPieceBeneath(owned.get() < 0 ? root : owned.get(), path.substr(at, end - at)));
    if (next.get() < 0) throw systemError(env, errno, "openat2", path);
    owned = std::move(next);
    at = end + 1;
  }
  return Napi::Number::New(env, owned.release());
}

void mkdirAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  auto mode = static_cast<mode_t>(integerArg(info, 2, "mode", 0, 07777));
  if (mkdirat(directory, name.c_str(), mode) != 0) throw systemError(info.Env(), errno, "mkdir", name);
}

int createFile(int directory, const char* name, mode_t mode) {
  return retrying([&] { return openat(directory, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode); });
}

Napi::Value createAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  auto mode = static_cast<mode_t>(integerArg(info, 2, "mode", 0, 07777));
  int fd = createFile(directory, name.c_str(), mode);
  if (fd < 0) throw systemError(info.Env(), errno, "open", name);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value openAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  bool write = boolArg(info, 2, "write");
  int flags = (write ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  Descriptor fd(write ? retrying([&] { return openat(directory, name.c_str(), flags | O_CLOEXEC); }) : openQuietly(directory, name.c_str(), flags));
  if (fd.get() < 0) throw systemError(env, errno, "open", name);
  struct stat s;
  if (fstat(fd.get(), &s) != 0) throw systemError(env, errno, "fstat", name);
  // A second name may stand outside the target: what is written through this one would show there.
  if (!S_ISREG(s.st_mode) || (write && s.st_nlink != 1)) throw systemError(env, ESTALE, "open", name);
  return Napi::Number::New(env, fd.release());
}

Napi::Value statAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  struct statx s;
  if (statx(directory, name.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, &s) == 0) return singleRecord(env, s);
  if (errno == ENOENT) return env.Undefined();
  throw systemError(env, errno, "statx", name);
}

void unlinkAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  bool isDirectory = boolArg(info, 2, "directory");
  if (unlinkat(directory, name.c_str(), isDirectory ? AT_REMOVEDIR : 0) != 0) {
    throw systemError(info.Env(), errno, isDirectory ? "rmdir" : "unlink", name);
  }
}

void symlinkAt(const Napi::CallbackInfo& info) {
  std::string target = pathArg(info, 0, "target");
  int directory = fdArg(info, 1, "dirFd");
  std::string name = nameArg(info, 2, "name");
  if (symlinkat(target.c_str(), directory, name.c_str()) != 0) throw systemError(info.Env(), errno, "symlink", name);
}

void linkAt(const Napi::CallbackInfo& info) {
  int fromDirectory = fdArg(info, 0, "fromDirFd");
  std::string fromName = nameArg(info, 1, "fromName");
  int toDirectory = fdArg(info, 2, "toDirFd");
  std::string toName = nameArg(info, 3, "toName");
  if (linkat(fromDirectory, fromName.c_str(), toDirectory, toName.c_str(), 0) != 0) throw systemError(info.Env(), errno, "link", toName);
}

void mknodAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  auto mode = static_cast<mode_t>(integerArg(info, 2, "mode", 0, 0177777));
  dev_t device = makedev(u32Arg(info, 3, "major"), u32Arg(info, 4, "minor"));
  if (mknodat(directory, name.c_str(), mode, device) != 0) throw systemError(info.Env(), errno, "mknod", name);
}

/** Writes all of it; returns an errno or 0. */
int writeAll(int fd, const uint8_t* from, size_t length, uint64_t offset) {
  for (size_t done = 0; done < length;) {
    ssize_t put = pwrite(fd, from + done, length - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    if (put == 0) return EIO;
    done += static_cast<size_t>(put);
  }
  return 0;
}

void writeAt(const Napi::CallbackInfo& info) {
  int fd = fdArg(info, 0, "fd");
  Bytes data = bytesArg(info, 1, "data");
  uint64_t dataOffset = sizeArg(info, 2, "dataOffset");
  uint64_t length = sizeArg(info, 3, "length");
  uint64_t fileOffset = sizeArg(info, 4, "fileOffset");
  if (!inside(dataOffset, length, data.size)) throw rangeError(info.Env(), "the range lies outside the data");
  if (int error = writeAll(fd, data.data + dataOffset, length, fileOffset)) throw systemError(info.Env(), error, "pwrite");
}

void truncateFd(const Napi::CallbackInfo& info) {
  int fd = fdArg(info, 0, "fd");
  uint64_t size = sizeArg(info, 1, "size");
  if (retrying([&] { return ftruncate(fd, static_cast<off_t>(size)); }) != 0) throw systemError(info.Env(), errno, "ftruncate");
}

void punchHole(const Napi::CallbackInfo& info) {
  int fd = fdArg(info, 0, "fd");
  uint64_t offset = sizeArg(info, 1, "offset");
  uint64_t length = sizeArg(info, 2, "length");
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (length == 0) return;
  if (retrying([&] { return fallocate(fd, mode, static_cast<off_t>(offset), static_cast<off_t>(length)); }) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) throw systemError(info.Env(), errno, "fallocate");
  // File systems without holes get the zeros that a hole reads as.
  static const std::vector<uint8_t> zeros(1 << 20);
  for (uint64_t done = 0; done < length;) {
    size_t step = std::min<uint64_t>(zeros.size(), length - done);
    if (int error = writeAll(fd, zeros.data(), step, offset + done)) throw systemError(info.Env(), error, "pwrite");
    done += step;
  }
}

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

void initTarget(Napi::Env env, Napi::Object exports) {
  add<openDirBeneath>(env, exports, "openDirBeneath");
  add<mkdirAt>(env, exports, "mkdirAt");
  add<createAt>(env, exports, "createAt");
  add<openAt>(env, exports, "openAt");
  add<statAt>(env, exports, "statAt");
  add<unlinkAt>(env, exports, "unlinkAt");
  add<symlinkAt>(env, exports, "symlinkAt");
  add<linkAt>(env, exports, "linkAt");
  add<mknodAt>(env, exports, "mknodAt");
  add<writeAt>(env, exports, "writeAt");
  add<truncateFd>(env, exports, "truncateFd");
  add<punchHole>(env, exports, "punchHole");
  add<setMetadataAt>(env, exports, "setMetadataAt");
  add<writeFilesAt>(env, exports, "writeFilesAt");
}

}  // namespace varve
