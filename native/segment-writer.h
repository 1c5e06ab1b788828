// Writing index segments: from pack directories (Builder, which sorts) and from other segments (merge, a stream of bounded memory).
// Both write everything but the header's SHA-256, which lib/chunk-index adds after reading the metadata back.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "segment-reader.h"

namespace varve::segment {

/** Buffered pwrite at a growing offset, with a running checksum. */
class Output {
 public:
  Output(int fd, uint64_t offset) : fd_(fd), offset_(offset) { buffer_.reserve(kBytes); }
  void write(const uint8_t* data, size_t length);
  void flush();
  uint32_t crc() const { return crc_; }

 private:
  static constexpr size_t kBytes = 1 << 18;
  int fd_;
  uint64_t offset_;
  uint32_t crc_ = 0;
  std::vector<uint8_t> buffer_;
};

/** Takes rows in order; writes pages, filter and page keys. */
class RowWriter {
 public:
  RowWriter(int fd, const Layout& layout);
  void add(const Row& row);
  /** @returns the filter's checksum. @throws Damaged unless exactly the promised number of rows came */
  uint32_t finish();

 private:
  void flushPage();
  void flushBlock();

  Layout layout_;
  Output pages_, filter_, keys_;
  std::vector<uint8_t> page_;
  uint64_t block_[8] = {};
  uint64_t blockNumber_ = 0, written_ = 0;
  uint32_t pageNumber_ = 0, inPage_ = 0;
};

using PackDigest = std::array<uint8_t, 32>;

/** SHA-256 of header and directory of the pack that `entry` of a pack table in `fd` describes. */
PackDigest readPackDigest(int fd, const uint8_t* entry);

/** Collects packs in memory (24 bytes a chunk), copying their directories to the file as they come. Used by one thread at a time. */
class Builder {
 public:
  /** `fd` stays the caller's and must stay open. `rows`: how many are to come, so that memory is taken once; a hint, of which no more than 192 MiB is believed. */
  explicit Builder(int fd, uint32_t rows = 0) : fd_(fd), directories_(fd, kHeaderBytes) { rows_.reserve(std::min<uint32_t>(rows, 1u << 23)); }
  /** Adds one pack; a pack already added with the same bytes is left out. @throws Damaged when the directory breaks a rule; nothing is added then */
  void add(const uint8_t* packId, const uint8_t* header, const uint8_t* directory, size_t length);
  void finish(uint32_t salt, const std::string& covered);

 private:
  /** Descriptions with one id and the same checksums: the number of the first, and digests once there is a second. */
  struct Seen {
    uint32_t first;
    std::set<PackDigest> digests;
  };
  bool isOther(Seen& seen, const uint8_t* header, const uint8_t* directory, size_t length);

  int fd_;
  Output directories_;
  uint64_t directoriesLength_ = 0;
  std::vector<uint8_t> packTable_;
  std::map<std::string, Seen> seen_;
  std::vector<Row> rows_;
};

/** Merges `inputs` into `fd`. Packs that several inputs hold with the same bytes are kept once. Marks the input that is damaged before it throws. */
void merge(const std::vector<std::shared_ptr<Segment>>& inputs, int fd, uint32_t salt, const std::string& covered);

/** The pack table entry's own checksum. */
inline uint32_t packEntryCrc(const uint8_t* entry) { return crc32c(0, entry, kPackEntryBytes - 4); }

}  // namespace varve::segment
