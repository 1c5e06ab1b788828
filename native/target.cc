// The target of a restore: its directories, entries and contents. Every call names one entry of an open directory, and no call follows a symlink.
// Decides nothing: what may be replaced, and in which order, is lib/restore's. Signatures: lib/native.ts, TargetKernels.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "addon.h"
#include "paths.h"
#include "stat_record.h"
#include "target.h"

namespace varve {
namespace {

constexpr int DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

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

dev_t deviceOf(int fd) {
  struct stat s;
  return fstat(fd, &s) == 0 ? s.st_dev : 0;
}

int openPieceBeneath(int base, const std::string& path, bool sameMount) {
  struct open_how how = {};
  how.flags = DIRECTORY_FLAGS;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | (sameMount ? RESOLVE_NO_XDEV : 0);
  long fd = retrying([&] { return syscall(SYS_openat2, base, path.c_str(), &how, sizeof how); });
  // Containers' system call filters answer EPERM or ENOSYS for calls they do not know.
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(fd);
  Descriptor walked(walkBeneath(base, path));
  if (walked.get() >= 0 && sameMount && deviceOf(walked.get()) != deviceOf(base)) {
    errno = EXDEV;
    return -1;
  }
  return walked.release();
}

Napi::Value openDirBeneath(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int root = fdArg(info, 0, "rootFd");
  bool sameMount = info.Length() > 2 && boolArg(info, 2, "sameMount");
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
    Descriptor next(openPieceBeneath(owned.get() < 0 ? root : owned.get(), path.substr(at, end - at), sameMount));
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

Napi::Value createAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  auto mode = static_cast<mode_t>(integerArg(info, 2, "mode", 0, 07777));
  int fd = createFile(directory, name.c_str(), mode);
  if (fd < 0) throw systemError(info.Env(), errno, "open", name);
  return Napi::Number::New(info.Env(), fd);
}

/** What `/proc` calls an open file: opening it again opens this very file, wherever its name leads by now. */
std::string placeOf(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

Napi::Value openAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  bool openUp = info.Length() > 2 && boolArg(info, 2, "openUp");
  int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  Descriptor fd(openQuietly(directory, name.c_str(), flags));
  struct stat s;
  if (fd.get() < 0 && errno == EACCES && openUp) {
    Descriptor closed(retrying([&] { return openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); }));
    if (closed.get() < 0 || fstat(closed.get(), &s) != 0) throw systemError(env, errno, "open", name);
    if (!S_ISREG(s.st_mode) || s.st_nlink != 1) throw systemError(env, ESTALE, "open", name);
    if (chmod(placeOf(closed.get()).c_str(), (s.st_mode & 07777) | S_IRUSR | S_IWUSR) != 0) throw systemError(env, errno, "chmod", name);
    fd = Descriptor(retrying([&] { return open(placeOf(closed.get()).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
  }
  if (fd.get() < 0) throw systemError(env, errno, "open", name);
  if (fstat(fd.get(), &s) != 0) throw systemError(env, errno, "fstat", name);
  if (!S_ISREG(s.st_mode)) throw systemError(env, ESTALE, "open", name);
  return Napi::Number::New(env, fd.release());
}

Napi::Value openWritable(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int open = fdArg(info, 0, "fd");
  Descriptor fd(retrying([&] { return ::open(placeOf(open).c_str(), O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC); }));
  if (fd.get() < 0) throw systemError(env, errno, "open");
  struct stat s;
  if (fstat(fd.get(), &s) != 0) throw systemError(env, errno, "fstat");
  // A second name may stand outside the target: what is written through this one would show there.
  if (!S_ISREG(s.st_mode) || s.st_nlink != 1) throw systemError(env, ESTALE, "open");
  return Napi::Number::New(env, fd.release());
}

Napi::Value openPathAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  int fd = retrying([&] { return openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC); });
  if (fd < 0) throw systemError(info.Env(), errno, "open", name);
  return Napi::Number::New(info.Env(), fd);
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

void linkFd(const Napi::CallbackInfo& info) {
  int fd = fdArg(info, 0, "fd");
  int directory = fdArg(info, 1, "dirFd");
  std::string name = nameArg(info, 2, "name");
  if (linkat(fd, "", directory, name.c_str(), AT_EMPTY_PATH) == 0) return;
  // linkat(2): an empty path asks for CAP_DAC_READ_SEARCH, and fails with ENOENT without it.
  if (errno == ENOENT && linkat(AT_FDCWD, placeOf(fd).c_str(), directory, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return;
  throw systemError(info.Env(), errno, "link", name);
}

void mknodAt(const Napi::CallbackInfo& info) {
  int directory = fdArg(info, 0, "dirFd");
  std::string name = nameArg(info, 1, "name");
  auto mode = static_cast<mode_t>(integerArg(info, 2, "mode", 0, 0177777));
  dev_t device = makedev(u32Arg(info, 3, "major"), u32Arg(info, 4, "minor"));
  if (mknodat(directory, name.c_str(), mode, device) != 0) throw systemError(info.Env(), errno, "mknod", name);
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

}  // namespace

void initTarget(Napi::Env env, Napi::Object exports) {
  add<openDirBeneath>(env, exports, "openDirBeneath");
  add<mkdirAt>(env, exports, "mkdirAt");
  add<createAt>(env, exports, "createAt");
  add<openAt>(env, exports, "openAt");
  add<openWritable>(env, exports, "openWritable");
  add<openPathAt>(env, exports, "openPathAt");
  add<statAt>(env, exports, "statAt");
  add<unlinkAt>(env, exports, "unlinkAt");
  add<symlinkAt>(env, exports, "symlinkAt");
  add<linkFd>(env, exports, "linkFd");
  add<mknodAt>(env, exports, "mknodAt");
  add<writeAt>(env, exports, "writeAt");
  add<truncateFd>(env, exports, "truncateFd");
  add<punchHole>(env, exports, "punchHole");
}

}  // namespace varve
