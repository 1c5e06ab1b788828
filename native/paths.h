// Descriptors that close themselves, and paths of any length: a path above PATH_MAX is walked in pieces, since the
// kernel takes at most 4096 bytes at a time while trees may be deeper.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string>
#include <utility>

namespace varve {

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/** Longest rest of a located path. Calls that take no directory get it behind "/proc/self/fd/NUMBER/", which has to fit too. */
constexpr size_t REST_MOST = PATH_MAX - 1 - sizeof "/proc/self/fd/2147483647/";

/** A path as (directory, rest) with a rest that the kernel takes. `error` is an errno, 0 when found. */
struct Located {
  Descriptor owned;
  int directory = AT_FDCWD;
  std::string rest;
  int error = 0;
};

inline Located locate(const std::string& path) {
  Located found;
  found.rest = path;
  while (found.rest.size() > REST_MOST) {
    size_t slash = found.rest.rfind('/', REST_MOST - 1);
    if (slash == std::string::npos || slash == 0) {
      found.error = ENAMETOOLONG;
      return found;
    }
    Descriptor next(openat(found.directory, found.rest.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (next.get() < 0) {
      found.error = errno;
      return found;
    }
    size_t begin = found.rest.find_first_not_of('/', slash);
    found.rest = begin == std::string::npos ? "." : found.rest.substr(begin);
    found.owned = std::move(next);
    found.directory = found.owned.get();
  }
  return found;
}

/** openat that leaves the access time alone where the caller may ask for that. Returns the descriptor, or -1 with errno. */
inline int openQuietly(int directory, const char* name, int flags) {
  int fd;
  do fd = openat(directory, name, flags | O_NOATIME | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  if (fd >= 0 || errno != EPERM) return fd;
  // open(2): O_NOATIME is refused to those who neither own the file nor hold CAP_FOWNER.
  do fd = openat(directory, name, flags | O_CLOEXEC);
  while (fd < 0 && errno == EINTR);
  return fd;
}

}  // namespace varve
