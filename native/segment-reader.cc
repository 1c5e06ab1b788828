// Opening a segment, finding the page of an id, and streaming rows for a merge.
#include "segment-reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

namespace varve::segment {

namespace {

/** Pages that all segments of the process keep together: 8 MiB. */
constexpr uint32_t kKeptPages = 2048;
std::atomic<uint32_t> keptPages{0};

}  // namespace

Segment::Segment(int fd, bool withFilter) : fd_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)) {
  if (fd_ < 0) throw SystemFailure(errno, "fcntl");
  try {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) throw SystemFailure(errno, "fstat");
    uint8_t header[kHeaderBytes];
    readFully(fd_, header, sizeof header, 0);
    layout_ = Layout::decode(header, static_cast<uint64_t>(status.st_size));
    keys_.resize(layout_.pages);
    readFully(fd_, reinterpret_cast<uint8_t*>(keys_.data()), keys_.size() * 4, layout_.keysOffset);
    if (!std::is_sorted(keys_.begin(), keys_.end())) throw Damaged("index segment has unsorted page keys");
    // Of a larger one, the few that could be kept would seldom be asked for twice.
    if (layout_.pages <= kKeptPages) kept_ = std::make_unique<std::atomic<uint8_t*>[]>(layout_.pages);
    if (withFilter) {
      const size_t length = layout_.filterBlocks * kBlockBytes;
      filter_ = std::make_unique_for_overwrite<uint64_t[]>(length / 8);
      auto* bytes = reinterpret_cast<uint8_t*>(filter_.get());
      readFully(fd_, bytes, length, layout_.filterOffset);
      if (crc32c(0, bytes, length) != layout_.filterCrc) throw Damaged("index segment has a damaged filter");
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
#ifdef POSIX_FADV_RANDOM
  ::posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
#endif
}

Segment::~Segment() {
  ::close(fd_);
  if (!kept_) return;
  for (uint32_t number = 0; number < layout_.pages; number++) {
    if (uint8_t* page = kept_[number].load(std::memory_order_relaxed)) {
      delete[] page;
      keptPages.fetch_sub(1, std::memory_order_relaxed);
    }
  }
}

const uint8_t* Segment::readPage(uint32_t number, uint8_t* buffer) {
  if (kept_) {
    if (const uint8_t* page = kept_[number].load(std::memory_order_acquire)) return page;
  }
  try {
    readFully(fd_, buffer, kPageBytes, layout_.pagesOffset + uint64_t{number} * kPageBytes);
  } catch (const std::exception&) {
    markDamaged();
    return nullptr;
  }
  if (!pageVerifies(buffer, number, layout_)) markDamaged();
  if (damaged()) return nullptr;
  if (kept_) keep(number, buffer);
  return buffer;
}

void Segment::keep(uint32_t number, const uint8_t* page) {
  if (keptPages.fetch_add(1, std::memory_order_relaxed) < kKeptPages) {
    auto copy = std::make_unique_for_overwrite<uint8_t[]>(kPageBytes);
    std::memcpy(copy.get(), page, kPageBytes);
    uint8_t* none = nullptr;
    if (kept_[number].compare_exchange_strong(none, copy.get(), std::memory_order_release, std::memory_order_relaxed)) {
      copy.release();
      return;
    }
  }
  keptPages.fetch_sub(1, std::memory_order_relaxed);
}

const uint8_t* Segment::locatePage(uint64_t hi, uint64_t lo, uint8_t* buffer, uint32_t& number) {
  const auto key = static_cast<uint32_t>(hi >> 32);
  const auto from = std::lower_bound(keys_.begin(), keys_.end(), key);
  const auto to = std::upper_bound(from, keys_.end(), key);
  if (to == keys_.begin()) return nullptr;
  // The id's first row is on the last page whose first row sorts before it, or opens the page after that one.
  auto first = static_cast<uint32_t>(from == keys_.begin() ? 0 : from - keys_.begin() - 1);
  auto last = static_cast<uint32_t>(to - keys_.begin() - 1);
  while (first < last) {
    const uint32_t middle = first + (last - first + 1) / 2;
    const uint8_t* page = readPage(middle, buffer);
    if (page == nullptr) return nullptr;
    if (idBefore(getRow(page), hi, lo)) first = middle;
    else last = middle - 1;
  }
  number = first;
  return readPage(first, buffer);
}

bool RowStream::next(Row& row) {
  const Layout& layout = segment_.layout();
  if (page_ == layout.pages) return false;
  if (page_ == loadedTo_) {
    loadedFrom_ = page_;
    loadedTo_ = std::min(layout.pages, page_ + kPagesAtOnce);
    readFully(segment_.fd(), buffer_.data(), size_t{loadedTo_ - loadedFrom_} * kPageBytes,
              layout.pagesOffset + uint64_t{loadedFrom_} * kPageBytes);
  }
  const uint8_t* page = buffer_.data() + size_t{page_ - loadedFrom_} * kPageBytes;
  if (row_ == 0 && !pageVerifies(page, page_, layout)) throw Damaged("index segment has a damaged page");
  row = getRow(page + row_ * kRowBytes);
  if (row.pack >= layout.packs || idBefore(row, last_.hi, last_.lo)) throw Damaged("index segment has rows out of order");
  last_ = row;
  if (++row_ == layout.rowsIn(page_)) {
    row_ = 0;
    page_++;
  }
  return true;
}

}  // namespace varve::segment
