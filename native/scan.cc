// Scans one directory: getdents64(2) for the names, statx(2) for each, records in memcmp order of the names.
// Names and paths are raw bytes; access times are neither read nor touched. Layout: lib/native.ts, ScanKernels.
#include <sys/syscall.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "addon.h"
#include "paths.h"
#include "scan.h"
#include "stat_record.h"

namespace varve {
namespace {

struct Entry {
  uint32_t at;
  uint32_t length;
};

constexpr size_t DIRENT_BUFFER = 128 * 1024;

/** Appends the names of an open directory to `names`, NUL-terminated, and their places to `entries`. Returns an errno or 0. */
int readNames(int directory, std::vector<char>& names, std::vector<Entry>& entries) {
  thread_local std::unique_ptr<char[]> buffer(new char[DIRENT_BUFFER]);
  for (;;) {
    long got = syscall(SYS_getdents64, directory, buffer.get(), DIRENT_BUFFER);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    // struct linux_dirent64: u64 inode, i64 offset, u16 record length, u8 type, name.
    for (long at = 0; at < got;) {
      const char* record = buffer.get() + at;
      uint16_t length = load<uint16_t>(reinterpret_cast<const uint8_t*>(record) + 16);
      const char* name = record + 19;
      size_t size = std::strlen(name);
      at += length;
      if (name[0] == '.' && (size == 1 || (size == 2 && name[1] == '.'))) continue;
      if (names.size() + size + 1 > UINT32_MAX) return EFBIG;
      entries.push_back({static_cast<uint32_t>(names.size()), static_cast<uint32_t>(size)});
      names.insert(names.end(), name, name + size + 1);
    }
  }
}

Napi::Value scanDirectory(const Napi::CallbackInfo& info) {
  std::string path = pathArg(info, 0, "path");
  std::vector<uint8_t> records;
  ScanFailure failure = scan(path, records);
  if (failure.error != 0) throw systemError(info.Env(), failure.error, failure.syscall, path);
  return copyOut(info.Env(), records.data(), records.size());
}

Napi::Value statPath(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string path = pathArg(info, 0, "path");
  bool follow = boolArg(info, 1, "follow");
  Located place = locate(path);
  if (place.error != 0) throw systemError(env, place.error, "statx", path);
  struct statx s;
  int flags = (follow ? 0 : AT_SYMLINK_NOFOLLOW) | AT_NO_AUTOMOUNT;
  if (statx(place.directory, place.rest.c_str(), flags, STATX_WANTED, &s) != 0) throw systemError(env, errno, "statx", path);
  return singleRecord(env, s);
}

}  // namespace

ScanFailure scan(const std::string& path, std::vector<uint8_t>& out) {
  Located place = locate(path);
  if (place.error != 0) return {place.error, "open"};
  // O_NOFOLLOW: a directory that became a symlink since its parent was scanned must not lead the walk elsewhere.
  Descriptor directory(openQuietly(place.directory, place.rest.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (directory.get() < 0) return {errno, "open"};

  std::vector<char> names;
  std::vector<Entry> entries;
  if (int error = readNames(directory.get(), names, entries)) return {error, "getdents64"};
  std::sort(entries.begin(), entries.end(), [&names](const Entry& a, const Entry& b) {
    int order = std::memcmp(names.data() + a.at, names.data() + b.at, std::min(a.length, b.length));
    return order != 0 ? order < 0 : a.length < b.length;
  });
  // A listing made while files come and go may hold a name twice (XFS), and that of a file system in user space may at any time. No page may.
  entries.erase(std::unique(entries.begin(), entries.end(),
                            [&names](const Entry& a, const Entry& b) {
                              return a.length == b.length && std::memcmp(names.data() + a.at, names.data() + b.at, a.length) == 0;
                            }),
                entries.end());

  size_t total = 4;
  for (const Entry& entry : entries) total += recordLength(entry.length);
  out.assign(total, 0);
  store<uint32_t>(out.data(), static_cast<uint32_t>(entries.size()));
  uint8_t* to = out.data() + 4;
  struct statx s;
  for (const Entry& entry : entries) {
    const char* name = names.data() + entry.at;
    int failed = statx(directory.get(), name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_WANTED, &s);
    writeRecord(to, s, failed == 0 ? 0 : errno, name, entry.length);
    to += recordLength(entry.length);
  }
  return {};
}

void initScan(Napi::Env env, Napi::Object exports) {
  add<scanDirectory>(env, exports, "scanDirectory");
  add<statPath>(env, exports, "statPath");
}

}  // namespace varve
