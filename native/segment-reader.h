// One open index segment: its page keys and, when asked for, its filter are in memory; rows are read with pread, and every page is verified when it
// is read. Pages stay in memory as far as a budget of the process allows. Any number of threads may search one segment at once.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "segment-format.h"

namespace varve::segment {

class Segment {
 public:
  /** Duplicates `fd`. @throws Damaged or SystemFailure */
  Segment(int fd, bool withFilter);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  const Layout& layout() const { return layout_; }
  int fd() const { return fd_; }
  bool damaged() const { return damaged_.load(std::memory_order_relaxed); }
  void markDamaged() { damaged_.store(true, std::memory_order_relaxed); }

  void prefetch(uint64_t hi) const {
    if (filter_) __builtin_prefetch(&filter_[filterBlock(hi, layout_.filterBlocks) * 8]);
  }
  bool mayHold(uint64_t hi, uint64_t lo) const {
    return !filter_ || filterHas(&filter_[filterBlock(hi, layout_.filterBlocks) * 8], lo);
  }

  /** Calls visit(row) for each row of this id until it returns false. A page that does not verify ends the search and marks the segment. */
  template <class Visit> void match(uint64_t hi, uint64_t lo, Visit visit) {
    alignas(64) uint8_t buffer[kPageBytes];
    uint32_t number;
    if (damaged()) return;
    const uint8_t* page = locatePage(hi, lo, buffer, number);
    while (page != nullptr) {
      uint32_t low = 0, high = layout_.rowsIn(number);
      const uint32_t count = high;
      while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (idBefore(getRow(page + middle * kRowBytes), hi, lo)) low = middle + 1;
        else high = middle;
      }
      for (; low < count; low++) {
        const Row row = getRow(page + low * kRowBytes);
        if (row.hi != hi || row.lo != lo) return;
        if (row.pack >= layout_.packs) return markDamaged();
        if (!visit(row)) return;
      }
      number++;
      if (number >= layout_.pages || keys_[number] > (hi >> 32)) return;
      page = readPage(number, buffer);
    }
  }

 private:
  /** A verified page: one that is kept, or one read into `buffer`. Null marks the segment. */
  const uint8_t* readPage(uint32_t number, uint8_t* buffer);
  void keep(uint32_t number, const uint8_t* page);
  /** The page on which the first row of this id must stand; null when there is none. */
  const uint8_t* locatePage(uint64_t hi, uint64_t lo, uint8_t* buffer, uint32_t& number);

  int fd_;
  Layout layout_;
  std::vector<uint32_t> keys_;
  std::unique_ptr<uint64_t[]> filter_;
  /** Pages that are kept, by number; set once and then left alone until the end. Absent in a segment of more pages than the budget. */
  std::unique_ptr<std::atomic<uint8_t*>[]> kept_;
  std::atomic<bool> damaged_{false};
};

/** Reads a segment's rows from first to last. @throws Damaged when a page does not verify or rows are out of order */
class RowStream {
 public:
  explicit RowStream(Segment& segment) : segment_(segment), buffer_(kPagesAtOnce * kPageBytes) {}
  /** The next row into `row`; false at the end. */
  bool next(Row& row);

 private:
  static constexpr uint32_t kPagesAtOnce = 64;
  Segment& segment_;
  std::vector<uint8_t> buffer_;
  uint32_t page_ = 0, loadedFrom_ = 0, loadedTo_ = 0, row_ = 0;
  Row last_{};
};

}  // namespace varve::segment
