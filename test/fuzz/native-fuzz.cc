// Mutants for the addon's decoders, outside Node: `native-fuzz DECODER COUNT SEED FILE…`. The files are valid inputs (scripts/sanitize.mjs has them made). Built
// with the address and undefined-behaviour sanitizers, which end it at the first finding; it prints how many mutants were accepted. What the decoders say is
// compared with their twins elsewhere (decoders.test.ts); here they must only stay inside their bytes and end.
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../../native/leaf-reader.h"
#include "../../native/pack-directory.h"
#include "../../native/segment-writer.h"
#include "../../native/zstd-frame.h"

namespace {

using Input = std::vector<uint8_t>;
using varve::segment::get;
using varve::segment::put;

/** xorshift64*: the same mutants for the same seed. */
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
  uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  size_t below(size_t limit) { return limit == 0 ? 0 : next() % limit; }

 private:
  uint64_t state_;
};

constexpr uint64_t kTelling[] = {0, 1, 2, 16, 17, 23, 24, 127, 128, 255, 256, 4096, 65'535, 65'536, 65'537, 2'097'152, 2'097'153, 4'194'304, 4'194'305,
                                 67'108'864, 0x7fffffff, 0x80000000, 0xffffffff, uint64_t{1} << 53, ~uint64_t{0}};

void mutate(Input& input, const std::vector<Input>& seeds, Random& random) {
  for (size_t steps = 1 + random.below(4); steps > 0; steps--) {
    const size_t at = random.below(input.size() + 1);
    const size_t left = input.size() - at;
    switch (random.below(9)) {
      case 0:
        if (left > 0) input[at] ^= static_cast<uint8_t>(1u << random.below(8));
        break;
      case 1:
        if (left > 0) input[at] = static_cast<uint8_t>(random.next());
        break;
      case 2: {
        const size_t width = size_t{1} << random.below(4);
        const uint64_t value = kTelling[random.below(std::size(kTelling))];
        if (left >= width) std::memcpy(input.data() + at, &value, width);
        break;
      }
      case 3:
        if (left >= 4) put(input.data() + at, get<uint32_t>(input.data() + at) + static_cast<uint32_t>(random.below(9)) - 4);
        break;
      case 4:
        input.resize(at);
        break;
      case 5:
        input.erase(input.begin() + static_cast<long>(at), input.begin() + static_cast<long>(at + random.below(std::min<size_t>(left, 64) + 1)));
        break;
      case 6:
        input.insert(input.begin() + static_cast<long>(at), random.below(64), static_cast<uint8_t>(random.next()));
        break;
      case 7: {
        const Input& other = seeds[random.below(seeds.size())];
        const size_t from = random.below(other.size() + 1), length = random.below(std::min<size_t>(other.size() - from, 128) + 1);
        input.insert(input.begin() + static_cast<long>(at), other.begin() + static_cast<long>(from), other.begin() + static_cast<long>(from + length));
        break;
      }
      default: {
        const Input& other = seeds[random.below(seeds.size())];
        const size_t length = std::min(left, std::min<size_t>(other.size(), random.below(64)));
        const size_t from = random.below(other.size() - std::min(length, other.size()) + 1);
        std::copy_n(other.begin() + static_cast<long>(from), std::min(length, other.size() - from), input.begin() + static_cast<long>(at));
      }
    }
  }
}

/** An exact copy on the heap, so that one byte beyond is seen. */
struct Exact {
  explicit Exact(const Input& input) : data(new uint8_t[input.size()]), size(input.size()) { std::copy(input.begin(), input.end(), data.get()); }
  std::unique_ptr<uint8_t[]> data;
  size_t size;
};

bool directory(const Input& input, Random& random) {
  const Exact bytes(input);
  const auto totals = varve::segment::checkDirectory(bytes.data.get(), bytes.size, random.below(2) ? varve::segment::kMaxPackBytes : random.below(1 << 20),
                                                     static_cast<uint8_t>(random.below(4)));
  return totals.length <= bytes.size;
}

bool leaf(const Input& input, Random& random) {
  const Exact bytes(input);
  const auto index = varve::indexLeaf(bytes.data.get(), bytes.size);
  // Also from places that are no entry's: JavaScript could hand in the index of another page.
  varve::LeafReader page(bytes.data.get(), bytes.size);
  for (uint32_t start : index.starts)
    if (start < bytes.size) {
      page.seek(start);
      page.entry();
    }
  try {
    page.seek(random.below(bytes.size + 1));
    page.entry();
  } catch (const varve::Refused&) {
  }
  return true;
}

bool frame(const Input& input, Random& random) {
  const Exact bytes(input);
  // The recorded size is what the payload says, so that what is behind the header is reached, or any other.
  size_t raw = random.below(1 << 16);
  if (random.below(8) != 0 && bytes.size > 9) {
    const int kind = bytes.data[4] >> 6;
    const size_t at = 5 + ((bytes.data[4] & 0x20) ? 0 : 1);
    if (kind == 0) raw = bytes.data[at];
    else if (kind == 1) raw = size_t{get<uint16_t>(bytes.data.get() + at)} + 256;
    else if (bytes.size > 13) raw = get<uint32_t>(bytes.data.get() + at);
  }
  if (raw > 1 << 18) raw = 1 << 18;
  const std::unique_ptr<uint8_t[]> out(new uint8_t[raw]);
  return varve::decompressFrame(bytes.data.get(), bytes.size, out.get(), raw) == nullptr;
}

class Memory {
 public:
  Memory() : fd(memfd_create("segment", MFD_CLOEXEC)) {}
  ~Memory() { close(fd); }
  void set(const uint8_t* data, size_t size) {
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != static_cast<ssize_t>(size)) abort();
  }
  int fd;
};

/** Checksums of pages and pack table entries made right again, so that what is behind them is reached. */
void reseal(Input& file) {
  if (file.size() < varve::segment::kHeaderBytes) return;
  const auto inside = [&](uint64_t at, uint64_t length) { return at <= file.size() && length <= file.size() - at; };
  const auto pages = get<uint32_t>(file.data() + 28), packs = get<uint32_t>(file.data() + 24);
  const auto pagesAt = get<uint64_t>(file.data() + 40), table = get<uint64_t>(file.data() + 64), filterAt = get<uint64_t>(file.data() + 48),
             blocks = get<uint64_t>(file.data() + 56);
  for (uint64_t page = 0; page < pages && inside(pagesAt + page * 4096, 4096); page++)
    put(file.data() + pagesAt + page * 4096 + 4092, varve::segment::crc32c(0, file.data() + pagesAt + page * 4096, 4092));
  for (uint64_t pack = 0; pack < packs && inside(table + pack * 328, 328); pack++)
    put(file.data() + table + pack * 328 + 324, varve::segment::crc32c(0, file.data() + table + pack * 328, 324));
  if (blocks < (1 << 16) && inside(filterAt, blocks * 64)) put(file.data() + 104, varve::segment::crc32c(0, file.data() + filterAt, blocks * 64));
}

bool segment(const Input& input, Random& random) {
  using namespace varve::segment;
  static Memory memory, other, merged;
  Input file = input;
  if (random.below(8) != 0) reseal(file);
  memory.set(file.data(), file.size());
  const auto opened = std::make_shared<Segment>(memory.fd, random.below(2) != 0);
  size_t found = 0;
  for (int i = 0; i < 4; i++) {
    const size_t at = random.below(file.size() - 16);
    const uint64_t hi = i == 0 ? random.next() : bigEndian(file.data() + at), lo = bigEndian(file.data() + at + 8);
    if (opened->mayHold(hi, lo)) opened->match(hi, lo, [&](const Row&) { return ++found < 1000; });
  }
  if (random.below(4) == 0) {
    other.set(input.data(), input.size());
    try {
      const std::vector<std::shared_ptr<Segment>> both = {opened, std::make_shared<Segment>(memory.fd, false)};
      if (ftruncate(merged.fd, 0) != 0) abort();
      merge(both, merged.fd, 7, "a\n");
    } catch (const Damaged&) {
    }
  }
  return true;
}

bool builder(const Input& input, Random& random) {
  using namespace varve::segment;
  static Memory memory;
  const Exact bytes(input);
  uint8_t header[kPackHeaderBytes] = {}, id[32] = {};
  header[kPackClassAt] = static_cast<uint8_t>(1 + random.below(2));
  if (ftruncate(memory.fd, 0) != 0) abort();
  Builder made(memory.fd);
  size_t added = 0;
  for (int i = 0; i < 3; i++) {
    id[0] = static_cast<uint8_t>(random.below(2));
    try {
      made.add(id, header, bytes.data.get(), bytes.size);
      added++;
    } catch (const Damaged&) {
      header[kPackClassAt] ^= 3;
    }
  }
  made.finish(1, "a\n");
  Segment opened(memory.fd, true);
  return added > 0;
}

const std::map<std::string, bool (*)(const Input&, Random&)> kDecoders = {
    {"directory", directory}, {"leaf", leaf}, {"frame", frame}, {"segment", segment}, {"builder", builder}};

}  // namespace

int main(int count, char** words) {
  if (count < 5 || kDecoders.count(words[1]) == 0) {
    std::fprintf(stderr, "usage: native-fuzz directory|leaf|frame|segment|builder COUNT SEED FILE...\n");
    return 2;
  }
  const auto decode = kDecoders.at(words[1]);
  const uint64_t mutants = std::strtoull(words[2], nullptr, 10), seed = std::strtoull(words[3], nullptr, 10);
  std::vector<Input> seeds;
  for (int i = 4; i < count; i++) {
    std::ifstream file(words[i], std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  Random random(seed);
  uint64_t accepted = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < mutants; i++) {
    Input input = seeds[random.below(seeds.size())];
    if (i >= seeds.size()) mutate(input, seeds, random);
    try {
      if (decode(input, random)) accepted++;
    } catch (const varve::segment::Damaged&) {
    } catch (const varve::Refused&) {
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("%s: %llu mutants, %llu accepted, %.0f s, no finding\n", words[1], static_cast<unsigned long long>(mutants),
              static_cast<unsigned long long>(accepted), seconds);
}
