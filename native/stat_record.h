// The 96-byte stat record of lib/native.ts (ScanKernels), filled from statx(2). One layout for scans, open files and targets.
#pragma once
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>

#include "arguments.h"

namespace varve {

constexpr size_t RECORD_BYTES = 96;
constexpr unsigned STATX_WANTED = STATX_BASIC_STATS | STATX_BTIME;

enum : uint8_t { FLAG_STAT_FAILED = 1, FLAG_SPARSE = 2, FLAG_BTIME = 4 };

inline uint8_t entryType(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return 1;
    case S_IFDIR: return 2;
    case S_IFLNK: return 3;
    case S_IFIFO: return 4;
    case S_IFSOCK: return 5;
    case S_IFCHR: return 6;
    case S_IFBLK: return 7;
    default: return 0;
  }
}

inline size_t recordLength(size_t nameLength) { return (RECORD_BYTES + nameLength + 7) & ~size_t{7}; }

/** Writes one record; `to` holds recordLength(nameLength) zeroed bytes. `error` is the errno of a failed stat, else 0. */
inline void writeRecord(uint8_t* to, const struct statx& s, int error, const char* name, size_t nameLength) {
  store<uint32_t>(to, static_cast<uint32_t>(recordLength(nameLength)));
  store<uint16_t>(to + 4, static_cast<uint16_t>(nameLength));
  if (nameLength != 0) std::memcpy(to + RECORD_BYTES, name, nameLength);
  if (error != 0) {
    to[7] = FLAG_STAT_FAILED;
    store<uint32_t>(to + 92, static_cast<uint32_t>(error));
    return;
  }
  bool regular = S_ISREG(s.stx_mode);
  bool born = (s.stx_mask & STATX_BTIME) != 0;
  to[6] = entryType(s.stx_mode);
  to[7] = static_cast<uint8_t>((regular && s.stx_blocks * 512 < s.stx_size ? FLAG_SPARSE : 0) | (born ? FLAG_BTIME : 0));
  store<uint32_t>(to + 8, s.stx_mode);
  store<uint32_t>(to + 12, s.stx_nlink);
  store<uint32_t>(to + 16, s.stx_uid);
  store<uint32_t>(to + 20, s.stx_gid);
  store<uint64_t>(to + 24, s.stx_ino);
  store<int64_t>(to + 32, static_cast<int64_t>(s.stx_size));
  store<int64_t>(to + 40, s.stx_mtime.tv_sec);
  store<int64_t>(to + 48, s.stx_ctime.tv_sec);
  store<uint32_t>(to + 56, s.stx_mtime.tv_nsec);
  store<uint32_t>(to + 60, s.stx_ctime.tv_nsec);
  if (born) {
    store<int64_t>(to + 64, s.stx_btime.tv_sec);
    store<uint32_t>(to + 72, s.stx_btime.tv_nsec);
  }
  store<uint32_t>(to + 76, s.stx_rdev_major);
  store<uint32_t>(to + 80, s.stx_rdev_minor);
  store<uint32_t>(to + 84, s.stx_dev_major);
  store<uint32_t>(to + 88, s.stx_dev_minor);
}

/** A whole answer of one record without a name: `u32 count` = 1, then the record. */
inline Napi::Uint8Array singleRecord(Napi::Env env, const struct statx& s) {
  Napi::Uint8Array out = Napi::Uint8Array::New(env, 4 + RECORD_BYTES);
  store<uint32_t>(out.Data(), 1);
  writeRecord(out.Data() + 4, s, 0, nullptr, 0);
  return out;
}

}  // namespace varve
