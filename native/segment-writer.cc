// Pages, filter and page keys from sorted rows, and the Builder that checks pack directories and sorts their rows.
#include "segment-writer.h"

#include "pack-directory.h"
#include "sha256.h"

#include <algorithm>

namespace varve::segment {

void Output::write(const uint8_t* data, size_t length) {
  crc_ = crc32c(crc_, data, length);
  if (buffer_.size() + length > kBytes) flush();
  if (length >= kBytes) {
    writeFully(fd_, data, length, offset_);
    offset_ += length;
  } else {
    buffer_.insert(buffer_.end(), data, data + length);
  }
}

void Output::flush() {
  writeFully(fd_, buffer_.data(), buffer_.size(), offset_);
  offset_ += buffer_.size();
  buffer_.clear();
}

RowWriter::RowWriter(int fd, const Layout& layout)
    : layout_(layout), pages_(fd, layout.pagesOffset), filter_(fd, layout.filterOffset), keys_(fd, layout.keysOffset), page_(kPageBytes) {}

void RowWriter::add(const Row& row) {
  const uint64_t block = filterBlock(row.hi, layout_.filterBlocks);
  while (blockNumber_ < block) flushBlock();
  filterSet(block_, row.lo);
  if (inPage_ == 0) {
    const auto key = static_cast<uint32_t>(row.hi >> 32);
    keys_.write(reinterpret_cast<const uint8_t*>(&key), 4);
  }
  putRow(page_.data() + inPage_ * kRowBytes, row);
  written_++;
  if (++inPage_ == kRowsPerPage) flushPage();
}

void RowWriter::flushPage() {
  sealPage(page_.data(), inPage_, pageNumber_++, layout_.salt);
  pages_.write(page_.data(), kPageBytes);
  inPage_ = 0;
}

void RowWriter::flushBlock() {
  filter_.write(reinterpret_cast<const uint8_t*>(block_), kBlockBytes);
  std::memset(block_, 0, sizeof block_);
  blockNumber_++;
}

uint32_t RowWriter::finish() {
  if (inPage_ > 0) flushPage();
  while (blockNumber_ < layout_.filterBlocks) flushBlock();
  pages_.flush();
  filter_.flush();
  keys_.flush();
  if (written_ != layout_.rows) throw Damaged("index segment has another number of rows than its packs");
  return filter_.crc();
}

namespace {

/** What tells descriptions of one pack apart when their checksums do not. */
PackDigest digestOf(const uint8_t* header, const uint8_t* directory, size_t length) {
  PackDigest digest;
  Sha256& hash = Sha256::ofThread();
  hash.restart();
  hash.update(header, kPackHeaderBytes);
  hash.update(directory, length);
  hash.finish(digest.data());
  return digest;
}

}  // namespace

PackDigest readPackDigest(int fd, const uint8_t* entry) {
  std::vector<uint8_t> directory(get<uint32_t>(entry + 296));
  readFully(fd, directory.data(), directory.size(), get<uint64_t>(entry + 288));
  return digestOf(entry + 32, directory.data(), directory.size());
}

void Builder::add(const uint8_t* packId, const uint8_t* header, const uint8_t* directory, size_t length) {
  const DirectoryTotals totals = checkDirectory(directory, length, kMaxPackBytes, header[kPackClassAt]);
  if (totals.length != length) throw Damaged("directory: its length differs from its counts");
  uint8_t entry[kPackEntryBytes] = {};
  std::memcpy(entry, packId, 32);
  std::memcpy(entry + 32, header, kPackHeaderBytes);
  put(entry + 288, kHeaderBytes + directoriesLength_);
  put(entry + 296, static_cast<uint32_t>(length));
  put(entry + 300, crc32c(0, directory, length));
  put(entry + 304, totals.rawBytes);
  put(entry + 312, get<uint32_t>(directory + 4));
  put(entry + 316, get<uint32_t>(directory));
  put(entry + 324, packEntryCrc(entry));

  std::string key(reinterpret_cast<const char*>(packId), 32);
  uint8_t sums[8];
  put(sums, crc32c(0, header, kPackHeaderBytes));
  put(sums + 4, get<uint32_t>(entry + 300));
  key.append(reinterpret_cast<const char*>(sums), sizeof sums);
  const auto pack = static_cast<uint32_t>(packTable_.size() / kPackEntryBytes);
  auto [found, isFirst] = seen_.try_emplace(key, Seen{pack, {}});
  if (!isFirst && !isOther(found->second, header, directory, length)) return;

  directories_.write(directory, length);
  directoriesLength_ += length;
  packTable_.insert(packTable_.end(), entry, entry + kPackEntryBytes);
  const uint32_t frames = get<uint32_t>(directory);
  const uint8_t* row = directory + 8 + 20 * size_t{frames};
  for (uint32_t f = 0; f < frames; f++) {
    const uint32_t count = get<uint32_t>(directory + 8 + 20 * size_t{f} + 12);
    for (uint32_t c = 0; c < count; c++, row += 37)
      rows_.push_back({bigEndian(row), bigEndian(row + 8), pack, static_cast<uint16_t>(f), static_cast<uint16_t>(c)});
  }
}

/** Whoever chooses ids chooses checksums too: descriptions with the same ones may differ, and none may hide another. */
bool Builder::isOther(Seen& seen, const uint8_t* header, const uint8_t* directory, size_t length) {
  if (seen.digests.empty()) {
    directories_.flush();
    seen.digests.insert(readPackDigest(fd_, packTable_.data() + size_t{seen.first} * kPackEntryBytes));
  }
  return seen.digests.insert(digestOf(header, directory, length)).second;
}

void Builder::finish(uint32_t salt, const std::string& covered) {
  directories_.flush();
  std::sort(rows_.begin(), rows_.end(), rowBefore);
  Layout layout(salt, rows_.size(), static_cast<uint32_t>(packTable_.size() / kPackEntryBytes), directoriesLength_, covered.size());
  RowWriter rows(fd_, layout);
  for (const Row& row : rows_) rows.add(row);
  std::vector<Row>().swap(rows_);
  layout.filterCrc = rows.finish();
  writeFully(fd_, packTable_.data(), packTable_.size(), layout.packTableOffset);
  writeFully(fd_, reinterpret_cast<const uint8_t*>(covered.data()), covered.size(), layout.coveredOffset);
  uint8_t header[kHeaderBytes];
  layout.encode(header);
  writeFully(fd_, header, sizeof header, 0);
}

}  // namespace varve::segment
