// What both files that write a restore's target use: names that lead nowhere else, files that are new, and writing all of something.
#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "arguments.h"

namespace varve {

inline bool isEntryName(const char* name, size_t length) {
  if (length == 0 || length > 255 || std::memchr(name, '/', length) != nullptr || std::memchr(name, 0, length) != nullptr) return false;
  return !(name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

/** The name of one entry of a directory: anything that could lead elsewhere is a RangeError. */
inline std::string nameArg(const Napi::CallbackInfo& info, size_t index, const char* what) {
  std::string name = pathArg(info, index, what);
  if (!isEntryName(name.data(), name.size())) throw rangeError(info.Env(), std::string(what) + " must be the name of a directory entry");
  return name;
}

/** Calls again what a signal interrupted. */
template <typename Call>
auto retrying(Call call) {
  decltype(call()) result;
  do result = call();
  while (result < 0 && errno == EINTR);
  return result;
}

/** Makes a file that was not there, or fails with EEXIST. */
inline int createFile(int directory, const char* name, mode_t mode) {
  return retrying([&] { return openat(directory, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, mode); });
}

/** Writes all of it; returns an errno or 0. */
inline int writeAll(int fd, const uint8_t* from, size_t length, uint64_t offset) {
  for (size_t done = 0; done < length;) {
    ssize_t put = pwrite(fd, from + done, length - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return errno;
    if (put == 0) return EIO;
    done += static_cast<size_t>(put);
  }
  return 0;
}

}  // namespace varve
