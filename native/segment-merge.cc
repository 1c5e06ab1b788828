// The merge of index segments: pack tables and directories are copied, packs held twice are left out, rows are merged by id.
// Memory: 256 KiB an input, and 44 bytes a pack.
#include <algorithm>
#include <array>
#include <queue>

#include "segment-writer.h"

namespace varve::segment {

namespace {

constexpr uint32_t kSkipped = 0xffffffff;

/** What tells one pack from another: its id, and the checksums of its header and directory. */
struct PackKey {
  std::array<uint8_t, 40> bytes;
  uint32_t input, pack;
};

void checkEntry(const uint8_t* entry, const Layout& layout) {
  const auto offset = get<uint64_t>(entry + 288);
  const auto length = get<uint32_t>(entry + 296);
  if (get<uint32_t>(entry + 324) != packEntryCrc(entry) || offset < kHeaderBytes || offset > layout.pagesOffset ||
      length > layout.pagesOffset - offset)
    throw Damaged("index segment has a damaged pack table");
}

template <class Visit> void eachEntry(const Segment& segment, Visit visit) {
  constexpr uint32_t atOnce = 256;
  std::vector<uint8_t> buffer(atOnce * kPackEntryBytes);
  const Layout& layout = segment.layout();
  for (uint32_t from = 0; from < layout.packs; from += atOnce) {
    const uint32_t count = std::min(atOnce, layout.packs - from);
    readFully(segment.fd(), buffer.data(), count * kPackEntryBytes, layout.packTableOffset + uint64_t{from} * kPackEntryBytes);
    for (uint32_t i = 0; i < count; i++) {
      uint8_t* entry = buffer.data() + i * kPackEntryBytes;
      checkEntry(entry, layout);
      visit(from + i, entry);
    }
  }
}

class Merge {
 public:
  Merge(const std::vector<std::shared_ptr<Segment>>& inputs, int fd) : inputs_(inputs), fd_(fd) {}

  void run(uint32_t salt, const std::string& covered) {
    choosePacks();
    Layout layout(salt, rows_, packs_, directoriesLength_, covered.size());
    copyPacks(layout);
    layout.filterCrc = mergeRows(layout);
    writeFully(fd_, reinterpret_cast<const uint8_t*>(covered.data()), covered.size(), layout.coveredOffset);
    uint8_t header[kHeaderBytes];
    layout.encode(header);
    writeFully(fd_, header, sizeof header, 0);
  }

 private:
  /** Runs `step` on one input; when its bytes turn out damaged, that input is marked. */
  template <class Step> void blaming(size_t input, Step step) {
    try {
      step();
    } catch (const Damaged&) {
      inputs_[input]->markDamaged();
      throw;
    }
  }

  void choosePacks() {
    std::vector<PackKey> keys;
    for (uint32_t i = 0; i < inputs_.size(); i++) {
      newNumber_.emplace_back(inputs_[i]->layout().packs, kSkipped);
      blaming(i, [&] {
        eachEntry(*inputs_[i], [&](uint32_t pack, const uint8_t* entry) {
          PackKey key{{}, i, pack};
          std::memcpy(key.bytes.data(), entry, 32);
          put(key.bytes.data() + 32, crc32c(0, entry + 32, kPackHeaderBytes));
          put(key.bytes.data() + 36, get<uint32_t>(entry + 300) ^ get<uint32_t>(entry + 296));
          keys.push_back(key);
        });
      });
    }
    std::sort(keys.begin(), keys.end(), [](const PackKey& a, const PackKey& b) {
      if (a.bytes != b.bytes) return a.bytes < b.bytes;
      return a.input != b.input ? a.input < b.input : a.pack < b.pack;
    });
    for (size_t from = 0, to; from < keys.size(); from = to) {
      for (to = from + 1; to < keys.size() && keys[to].bytes == keys[from].bytes;) to++;
      keepDifferent(keys.data() + from, to - from);
    }
    for (uint32_t i = 0; i < inputs_.size(); i++)
      eachEntry(*inputs_[i], [&](uint32_t pack, const uint8_t* entry) {
        if (newNumber_[i][pack] == kSkipped) return;
        newNumber_[i][pack] = packs_++;
        rows_ += get<uint32_t>(entry + 312);
        directoriesLength_ += get<uint32_t>(entry + 296);
      });
  }

  /** Of descriptions with the same checksums, keeps one of each that really are the same. */
  void keepDifferent(const PackKey* keys, size_t count) {
    std::set<PackDigest> kept;
    for (size_t k = 0; k < count; k++) {
      const auto [bytes, input, pack] = keys[k];
      blaming(input, [&, input = input, pack = pack] {
        if (count > 1 && !kept.insert(readDigest(*inputs_[input], pack)).second) return;
        newNumber_[input][pack] = 0;
      });
    }
  }

  static PackDigest readDigest(const Segment& segment, uint32_t pack) {
    uint8_t entry[kPackEntryBytes];
    readFully(segment.fd(), entry, sizeof entry, segment.layout().packTableOffset + uint64_t{pack} * kPackEntryBytes);
    checkEntry(entry, segment.layout());
    return readPackDigest(segment.fd(), entry);
  }

  /** Directories are copied as they are: their checksum travels in the entry and is verified when one is read. */
  void copyPacks(const Layout& layout) {
    Output table(fd_, layout.packTableOffset), directories(fd_, kHeaderBytes);
    std::vector<uint8_t> buffer;
    uint64_t at = kHeaderBytes;
    for (uint32_t i = 0; i < inputs_.size(); i++)
      blaming(i, [&] {
        eachEntry(*inputs_[i], [&](uint32_t pack, uint8_t* entry) {
          if (newNumber_[i][pack] == kSkipped) return;
          buffer.resize(get<uint32_t>(entry + 296));
          readFully(inputs_[i]->fd(), buffer.data(), buffer.size(), get<uint64_t>(entry + 288));
          directories.write(buffer.data(), buffer.size());
          put(entry + 288, at);
          put(entry + 324, packEntryCrc(entry));
          table.write(entry, kPackEntryBytes);
          at += buffer.size();
        });
      });
    directories.flush();
    table.flush();
  }

  uint32_t mergeRows(const Layout& layout) {
    struct Head {
      Row row;
      uint32_t input;
    };
    const auto later = [](const Head& a, const Head& b) { return rowBefore(b.row, a.row); };
    std::priority_queue<Head, std::vector<Head>, decltype(later)> heads(later);
    std::vector<RowStream> streams;
    for (const auto& input : inputs_) streams.emplace_back(*input);
    const auto advance = [&](uint32_t input) {
      blaming(input, [&] {
        Row row;
        while (streams[input].next(row)) {
          row.pack = newNumber_[input][row.pack];
          if (row.pack == kSkipped) continue;
          heads.push({row, input});
          return;
        }
      });
    };
    for (uint32_t i = 0; i < streams.size(); i++) advance(i);
    RowWriter rows(fd_, layout);
    while (!heads.empty()) {
      const Head head = heads.top();
      heads.pop();
      rows.add(head.row);
      advance(head.input);
    }
    return rows.finish();
  }

  const std::vector<std::shared_ptr<Segment>>& inputs_;
  int fd_;
  std::vector<std::vector<uint32_t>> newNumber_;
  uint64_t rows_ = 0, directoriesLength_ = 0;
  uint32_t packs_ = 0;
};

}  // namespace

void merge(const std::vector<std::shared_ptr<Segment>>& inputs, int fd, uint32_t salt, const std::string& covered) {
  Merge(inputs, fd).run(salt, covered);
}

}  // namespace varve::segment
