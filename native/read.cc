// Reads source files: many small ones in one call, with their digests, or one at a time through a descriptor.
// Layouts and flags: lib/native.ts, ReadKernels. What a file is, is asked of the open descriptor, never of its name.
#include <sys/ioctl.h>
#if defined(__linux__)
#include <linux/fs.h>
#endif

#include <vector>

#include "addon.h"
#include "paths.h"
#include "sha256_many.h"
#include "stat_record.h"

namespace varve {
namespace {

constexpr size_t RESULT_BYTES = 96;
constexpr uint32_t LARGER_THAN_LIMIT = 1;
// O_NONBLOCK: a fifo put in a file's place must not hang the backup.
constexpr int SOURCE_FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

int statOf(int fd, struct statx& s) { return statx(fd, "", AT_EMPTY_PATH, STATX_WANTED, &s) == 0 ? 0 : errno; }

/** pread that survives signals. */
ssize_t preadAll(int fd, uint8_t* to, size_t length, uint64_t offset) {
  size_t done = 0;
  while (done < length) {
    ssize_t got = pread(fd, to + done, length - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

/** The request of readFiles, read front to back; anything that does not fit is a RangeError. */
class RequestReader {
 public:
  RequestReader(Napi::Env env, Bytes bytes) : env_(env), bytes_(bytes) {}
  bool done() const { return at_ == bytes_.size; }
  template <typename T>
  T number() {
    return load<T>(take(sizeof(T)));
  }
  std::string text(size_t length) {
    const char* from = reinterpret_cast<const char*>(take(length));
    if (length != 0 && std::memchr(from, 0, length) != nullptr) throw rangeError(env_, "a name in the request holds a NUL byte");
    return std::string(from, length);
  }

 private:
  const uint8_t* take(size_t length) {
    if (!inside(at_, length, bytes_.size)) throw rangeError(env_, "the request is cut short");
    const uint8_t* from = bytes_.data + at_;
    at_ += length;
    return from;
  }
  Napi::Env env_;
  Bytes bytes_;
  size_t at_ = 0;
};

struct Wanted {
  uint32_t limit;
  std::string name;
};
struct Group {
  std::string directory;
  std::vector<Wanted> files;
};

std::vector<Group> parseRequest(Napi::Env env, Bytes request, size_t arenaSize, size_t& files) {
  RequestReader reader(env, request);
  std::vector<Group> groups;
  uint64_t limits = 0;
  while (!reader.done()) {
    Group& group = groups.emplace_back();
    group.directory = reader.text(reader.number<uint32_t>());
    for (uint32_t count = reader.number<uint32_t>(); count > 0; count--) {
      uint32_t limit = reader.number<uint32_t>();
      std::string name = reader.text(reader.number<uint16_t>());
      if (name.empty() || name.find('/') != std::string::npos) throw rangeError(env, "a file name in the request is empty or holds a slash");
      group.files.push_back({limit, std::move(name)});
      limits += limit;
      files++;
    }
  }
  if (limits > arenaSize) throw rangeError(env, "the arena is smaller than the limits asked for");
  return groups;
}

/** Reads one open regular file into `to`. Leaves the stat taken after the read in `s`; sets `length` or `larger`. Returns an errno or 0. */
int readOpenFile(int fd, uint8_t* to, uint32_t limit, struct statx& s, uint32_t& length, bool& larger) {
  if (s.stx_size > limit) {
    larger = true;
    return 0;
  }
  size_t done = 0;
  for (;;) {
    // One byte beyond what has a place, so that growth past the limit shows.
    uint8_t probe;
    bool full = done == limit;
    ssize_t got = pread(fd, full ? &probe : to + done, full ? 1 : limit - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (full && got > 0) {
      larger = true;
      return statOf(fd, s);
    }
    done += static_cast<size_t>(got);
    if (int error = statOf(fd, s)) return error;
    // The size agrees: this was the end. Otherwise (files of /proc, files that change) only an empty read is.
    if (got == 0 || s.stx_size == done) break;
  }
  length = static_cast<uint32_t>(done);
  return 0;
}

/**
 * Opens and reads one file; fills its 96 zeroed bytes at `row` but for the digest, which it adds to `digests`. Returns how much of the arena it took.
 */
uint32_t readOneFile(int directory, const Wanted& file, uint8_t* arena, uint32_t arenaOffset, uint8_t* row, std::vector<Digestible>& digests) {
  Descriptor fd(openQuietly(directory, file.name.c_str(), SOURCE_FLAGS));
  int error = fd.get() < 0 ? errno : 0;
  struct statx s = {};
  uint32_t length = 0;
  bool larger = false;
  if (error == 0) error = statOf(fd.get(), s);
  if (error == 0 && !S_ISREG(s.stx_mode)) error = ESTALE;
  if (error == 0) error = readOpenFile(fd.get(), arena + arenaOffset, file.limit, s, length, larger);
  if (error != 0) length = 0;
  store<uint32_t>(row, static_cast<uint32_t>(error));
  store<uint32_t>(row + 4, larger ? LARGER_THAN_LIMIT : 0);
  store<uint32_t>(row + 8, arenaOffset);
  store<uint32_t>(row + 12, length);
  if (error == 0 && !larger) digests.push_back({arena + arenaOffset, length, row + 16});
  store<int64_t>(row + 48, static_cast<int64_t>(s.stx_size));
  store<int64_t>(row + 56, s.stx_mtime.tv_sec);
  store<int64_t>(row + 64, s.stx_ctime.tv_sec);
  store<uint32_t>(row + 72, s.stx_mtime.tv_nsec);
  store<uint32_t>(row + 76, s.stx_ctime.tv_nsec);
  store<uint64_t>(row + 80, s.stx_ino);
  store<uint32_t>(row + 88, entryType(s.stx_mode));
  return length;
}

Napi::Value readFiles(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes request = bytesArg(info, 0, "request");
  Bytes arena = bytesArg(info, 1, "arena");
  if (arena.size > UINT32_MAX) arena.size = UINT32_MAX;
  size_t files = 0;
  std::vector<Group> groups = parseRequest(env, request, arena.size, files);
  Napi::Uint8Array out = Napi::Uint8Array::New(env, files * RESULT_BYTES);
  uint8_t* row = out.Data();
  uint32_t used = 0;
  std::vector<Digestible> digests;
  digests.reserve(files);
  for (const Group& group : groups) {
    Located place = locate(group.directory);
    int error = place.error;
    Descriptor directory;
    if (error == 0) {
      directory = Descriptor(openat(place.directory, place.rest.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (directory.get() < 0) error = errno;
    }
    for (const Wanted& file : group.files) {
      if (error != 0) store<uint32_t>(row, static_cast<uint32_t>(error));
      else used += readOneFile(directory.get(), file, arena.data, used, row, digests);
      row += RESULT_BYTES;
    }
  }
  sha256Many(digests.data(), digests.size());
  return out;
}

Napi::Value openSource(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = pathArg(info, 0, "path");
  Located place = locate(path);
  if (place.error != 0) throw systemError(env, place.error, "open", path);
  Descriptor fd(openQuietly(place.directory, place.rest.c_str(), SOURCE_FLAGS));
  if (fd.get() < 0) throw systemError(env, errno, "open", path);
  struct statx s;
  if (int error = statOf(fd.get(), s)) throw systemError(env, error, "statx", path);
  // Block devices are sources too: snapshots of volumes are read as images.
  if (!S_ISREG(s.stx_mode) && !S_ISBLK(s.stx_mode)) throw systemError(env, ESTALE, "open", path);
  return Napi::Number::New(env, fd.release());
}

void closeFd(const Napi::CallbackInfo& info) {
  // close(2) releases the descriptor even when it reports EINTR; a second try could close another thread's file.
  if (close(fdArg(info, 0, "fd")) != 0 && errno != EINTR) throw systemError(info.Env(), errno, "close");
}

Napi::Value statFd(const Napi::CallbackInfo& info) {
  int fd = fdArg(info, 0, "fd");
  struct statx s;
  if (int error = statOf(fd, s)) throw systemError(info.Env(), error, "statx");
#if defined(BLKGETSIZE64)
  uint64_t size = 0;
  if (S_ISBLK(s.stx_mode) && ioctl(fd, BLKGETSIZE64, &size) == 0) s.stx_size = size;
#endif
  return singleRecord(info.Env(), s);
}

Napi::Value readAt(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = fdArg(info, 0, "fd");
  Bytes arena = bytesArg(info, 1, "arena");
  uint64_t arenaOffset = sizeArg(info, 2, "arenaOffset");
  uint64_t length = sizeArg(info, 3, "length");
  uint64_t fileOffset = sizeArg(info, 4, "fileOffset");
  if (!inside(arenaOffset, length, arena.size)) throw rangeError(env, "the range lies outside the arena");
  ssize_t got = preadAll(fd, arena.data + arenaOffset, length, fileOffset);
  if (got < 0) throw systemError(env, errno, "pread");
  return Napi::Number::New(env, static_cast<double>(got));
}

Napi::Value nextData(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  int fd = fdArg(info, 0, "fd");
  auto offset = static_cast<off_t>(sizeArg(info, 1, "offset"));
  auto size = static_cast<off_t>(sizeArg(info, 2, "size"));
  if (offset >= size) return env.Undefined();
  off_t end = size;
  off_t start = lseek(fd, offset, SEEK_DATA);
  if (start < 0) {
    if (errno == ENXIO) return env.Undefined();
    if (errno != EINVAL && errno != EOPNOTSUPP) throw systemError(env, errno, "lseek");
    start = offset;
  } else {
    off_t hole = lseek(fd, start, SEEK_HOLE);
    // ENXIO: the file shrank in between; reading will find its end.
    if (hole < 0 && errno != ENXIO) throw systemError(env, errno, "lseek");
    if (hole >= 0 && hole < end) end = hole;
  }
  if (start >= size || end <= start) return env.Undefined();
  Napi::Array extent = Napi::Array::New(env, 2);
  extent.Set(0u, Napi::Number::New(env, static_cast<double>(start)));
  extent.Set(1u, Napi::Number::New(env, static_cast<double>(end)));
  return extent;
}

}  // namespace

void initRead(Napi::Env env, Napi::Object exports) {
  add<readFiles>(env, exports, "readFiles");
  add<openSource>(env, exports, "openSource");
  add<closeFd>(env, exports, "closeFd");
  add<statFd>(env, exports, "statFd");
  add<readAt>(env, exports, "readAt");
  add<nextData>(env, exports, "nextData");
}

}  // namespace varve
