// The layout of a local chunk index segment (lib/chunk-index/segment.ts says what each section is for): offsets, rows, pages and the
// filter's arithmetic, shared by the code that writes segments and the code that reads them. No N-API here, and no locks.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace varve::segment {

static_assert(std::endian::native == std::endian::little, "segments are written in host order, which must be little-endian");

constexpr size_t kHeaderBytes = 4096;
constexpr size_t kPageBytes = 4096;
constexpr size_t kRowBytes = 24;
constexpr size_t kRowsPerPage = 170;
constexpr size_t kPackEntryBytes = 328;
constexpr size_t kPackHeaderBytes = 256;
/** Where the class stands in a pack header (docs/format.md §7). */
constexpr size_t kPackClassAt = 88;
constexpr size_t kBlockBytes = 64;
constexpr uint32_t kVersion = 1;
constexpr uint64_t kMaxRows = uint64_t{1} << 36;

uint32_t crc32c(uint32_t seed, const uint8_t* data, size_t length);

template <class T> T get(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T> void put(uint8_t* at, T value) { std::memcpy(at, &value, sizeof value); }

/** Bytes that do not verify: a cache file that must be dropped, or a directory that must be refused. */
struct Damaged : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/** A system call that failed. */
struct SystemFailure : std::runtime_error {
  int code;
  const char* call;
  SystemFailure(int code, const char* call);
};

/** One chunk's place. `hi` and `lo` are the first 16 bytes of its id as big-endian numbers, so that numbers sort as ids do. */
struct Row {
  uint64_t hi, lo;
  uint32_t pack;
  uint16_t frame, chunk;
};

inline bool sameId(const Row& a, const Row& b) { return a.hi == b.hi && a.lo == b.lo; }
inline bool idBefore(const Row& a, uint64_t hi, uint64_t lo) { return a.hi != hi ? a.hi < hi : a.lo < lo; }
inline bool rowBefore(const Row& a, const Row& b) {
  if (a.hi != b.hi) return a.hi < b.hi;
  if (a.lo != b.lo) return a.lo < b.lo;
  if (a.pack != b.pack) return a.pack < b.pack;
  return a.frame != b.frame ? a.frame < b.frame : a.chunk < b.chunk;
}

inline uint64_t bigEndian(const uint8_t* at) { return __builtin_bswap64(get<uint64_t>(at)); }

inline Row getRow(const uint8_t* at) {
  return {bigEndian(at), bigEndian(at + 8), get<uint32_t>(at + 16), get<uint16_t>(at + 20), get<uint16_t>(at + 22)};
}

inline void putRow(uint8_t* at, const Row& row) {
  put(at, __builtin_bswap64(row.hi));
  put(at + 8, __builtin_bswap64(row.lo));
  put(at + 16, row.pack);
  put(at + 20, row.frame);
  put(at + 22, row.chunk);
}

// The filter: blocked Bloom, 512-bit blocks, 10.5 bits an entry, 7 bits set per entry: 0.77 % false positives.
// A block is chosen by the id's leading bits, so blocks fill in row order and a merge writes the filter as a stream.
inline uint64_t filterBlock(uint64_t hi, uint64_t blocks) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(hi) * blocks) >> 64);
}

inline void filterSet(uint64_t* block, uint64_t lo) {
  for (int k = 0; k < 7; k++, lo >>= 9) block[(lo >> 6) & 7] |= uint64_t{1} << (lo & 63);
}

inline bool filterHas(const uint64_t* block, uint64_t lo) {
  for (int k = 0; k < 7; k++, lo >>= 9)
    if (((block[(lo >> 6) & 7] >> (lo & 63)) & 1) == 0) return false;
  return true;
}

/** Everything the header says. All offsets follow from the first five numbers. */
struct Layout {
  uint32_t salt;
  uint64_t rows;
  uint32_t packs;
  uint64_t directoriesLength;
  uint64_t coveredLength;

  uint32_t pages, filterCrc = 0;
  uint64_t pagesOffset, filterOffset, filterBlocks, packTableOffset, coveredOffset, keysOffset, fileSize;

  Layout() : Layout(0, 0, 0, 0, 0) {}
  Layout(uint32_t salt, uint64_t rows, uint32_t packs, uint64_t directoriesLength, uint64_t coveredLength);
  void encode(uint8_t* header) const;
  /** @throws Damaged unless every field is what these numbers of rows, packs and bytes give for a file of `actualSize` bytes */
  static Layout decode(const uint8_t* header, uint64_t actualSize);
  /** Rows that page `page` holds. */
  uint32_t rowsIn(uint32_t page) const {
    return page + 1 < pages ? kRowsPerPage : static_cast<uint32_t>(rows - uint64_t{page} * kRowsPerPage);
  }
};

/** Writes count, page number, salt and checksum behind the rows of a page. */
void sealPage(uint8_t* page, uint32_t count, uint32_t number, uint32_t salt);
/** Whether a page is whole, and is page `number` of the segment that `layout` describes. */
bool pageVerifies(const uint8_t* page, uint32_t number, const Layout& layout);

/** pread and pwrite of exactly `length` bytes. @throws SystemFailure, or Damaged when the file ends before */
void readFully(int fd, uint8_t* to, size_t length, uint64_t offset);
void writeFully(int fd, const uint8_t* from, size_t length, uint64_t offset);

}  // namespace varve::segment
