// Content-defined cutting with a 32-bit gear hash (docs/format.md, Chunking), and a guess at what will not compress.
// Both are pure functions of the bytes. The cuts are normative; the guess is a hint that no reader depends on.
#include <algorithm>
#include <cmath>
#include <vector>

#include "addon.h"
#include "arguments.h"

namespace varve {
namespace {

/** Bytes that influence the hash: each shift drops a bit, so a byte is gone after 32. */
constexpr size_t WINDOW = 32;

struct CutParams {
  size_t min;
  size_t max;
  size_t avg;
  uint32_t belowSmall;  // (h & maskS) == 0 for a mask of high bits is h < belowSmall
  uint32_t belowLarge;
};

/**
 * First length L in (from, to] at which the hash falls below `below`, or 0. `h` is the hash over data[.., from) and is carried on.
 */
inline size_t scanGear(const uint8_t* data, size_t from, size_t to, uint32_t below, const uint32_t* table, uint32_t& carried) {
  uint32_t h = carried;
  size_t i = from;
  for (; i + 8 <= to; i += 8) {
    uint64_t eight = load<uint64_t>(data + i);
    // Pairs: one dependent step per two bytes, and the middle value beside it.
#define VARVE_PAIR(K)                                                   \
  {                                                                     \
    uint32_t first = table[eight & 0xff];                               \
    uint32_t second = table[(eight >> 8) & 0xff];                       \
    uint32_t middle = (h << 1) + first;                                 \
    h = (h << 2) + ((first << 1) + second);                             \
    if (middle < below) [[unlikely]] return i + (K) + 1;                \
    if (h < below) [[unlikely]] return i + (K) + 2;                     \
    eight >>= 16;                                                       \
  }
    VARVE_PAIR(0)
    VARVE_PAIR(2)
    VARVE_PAIR(4)
    VARVE_PAIR(6)
#undef VARVE_PAIR
  }
  for (; i < to; i++) {
    h = (h << 1) + table[data[i]];
    if (h < below) return i + 1;
  }
  carried = h;
  return 0;
}

/** Length of the chunk at the front of data[0, size), or 0 when no cut falls inside and the chunk could still grow. */
size_t firstCut(const uint8_t* data, size_t size, const CutParams& p, const uint32_t* table) {
  size_t end = std::min(size, p.max);
  if (end > p.min) {
    uint32_t h = 0;
    for (size_t i = p.min > WINDOW ? p.min - WINDOW : 0; i < p.min; i++) h = (h << 1) + table[data[i]];
    // Lengths min < L < avg take the small-chunk mask, L >= avg the large one.
    size_t turn = std::clamp(p.avg - 1, p.min, end);
    if (size_t cut = scanGear(data, p.min, turn, p.belowSmall, table, h)) return cut;
    if (size_t cut = scanGear(data, turn, end, p.belowLarge, table, h)) return cut;
  }
  return end == p.max ? p.max : 0;
}

Napi::Value cut(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (!info[4].IsObject()) throw Napi::TypeError::New(env, "params must be an object");
  Napi::Object object = info[4].As<Napi::Object>();
  CutParams p;
  p.min = static_cast<size_t>(integerOf(env, object.Get("min"), "min", 0, 1 << 30));
  p.max = static_cast<size_t>(integerOf(env, object.Get("max"), "max", 1, 1 << 30));
  int avgBits = static_cast<int>(integerOf(env, object.Get("avgBits"), "avgBits", 12, 22));
  if (p.min > p.max) throw rangeError(env, "min must not exceed max");
  p.avg = size_t{1} << avgBits;
  p.belowSmall = uint32_t{1} << (32 - (avgBits + 2));
  p.belowLarge = uint32_t{1} << (32 - (avgBits - 2));
  bool last = boolArg(info, 5, "last");
  uint64_t offset = sizeArg(info, 1, "offset");
  uint64_t length = sizeArg(info, 2, "length");
  Bytes data = bytesArg(info, 0, "data");
  Words gear = wordsArg(info, 3, "table");
  if (gear.count != 256) throw rangeError(env, "table must hold 256 values");
  if (!inside(offset, length, data.size)) throw rangeError(env, "the range lies outside the data");

  uint32_t table[256];
  std::copy_n(gear.data, 256, table);
  std::vector<uint32_t> lengths;
  const uint8_t* from = data.data + offset;
  while (length > 0) {
    size_t next = firstCut(from, length, p, table);
    if (next == 0) {
      if (!last) break;
      next = length;
    }
    lengths.push_back(static_cast<uint32_t>(next));
    from += next;
    length -= next;
  }
  Napi::Uint32Array out = Napi::Uint32Array::New(env, lengths.size());
  std::copy(lengths.begin(), lengths.end(), out.Data());
  return out;
}

constexpr size_t SAMPLE = 1024;
constexpr size_t SAMPLE_LEAST = 128;
constexpr size_t RUN = 128;
/** Bits per byte below what random bytes show in a sample of the same length. */
constexpr double MARGIN = 0.3;

/** c·log2(c), and for each sample length n the sum of it over a histogram above which the bytes do not look random. */
struct EntropyTables {
  float cLog[SAMPLE + 1];
  float most[SAMPLE + 1];
  EntropyTables() {
    cLog[0] = 0;
    for (size_t c = 1; c <= SAMPLE; c++) cLog[c] = static_cast<float>(static_cast<double>(c) * std::log2(static_cast<double>(c)));
    for (size_t n = 1; n <= SAMPLE; n++) {
      // Expected sum for n uniform bytes: 256 counts, each binomial(n, 1/256). 64 terms: the rest is below 1e-20.
      double p = std::pow(255.0 / 256.0, static_cast<double>(n)), expected = 0;
      for (size_t c = 1; c <= std::min<size_t>(n, 64); c++) {
        p *= static_cast<double>(n - c + 1) / static_cast<double>(c) / 255.0;
        expected += p * cLog[c];
      }
      most[n] = static_cast<float>(256 * expected + MARGIN * static_cast<double>(n));
    }
  }
};

bool incompressible(const uint8_t* data, size_t size) {
  static const EntropyTables tables;
  if (size < SAMPLE_LEAST) return false;
  uint16_t counts[4][256] = {};
  size_t runs = size <= SAMPLE ? 1 : SAMPLE / RUN;
  size_t runLength = size <= SAMPLE ? size : RUN;
  size_t total = runs * runLength;
  for (size_t run = 0; run < runs; run++) {
    const uint8_t* from = data + (runs == 1 ? 0 : run * (size - RUN) / (runs - 1));
    size_t i = 0;
    for (; i + 4 <= runLength; i += 4) {
      counts[0][from[i]]++;
      counts[1][from[i + 1]]++;
      counts[2][from[i + 2]]++;
      counts[3][from[i + 3]]++;
    }
    for (; i < runLength; i++) counts[0][from[i]]++;
  }
  float sum = 0;
  for (size_t b = 0; b < 256; b++) sum += tables.cLog[counts[0][b] + counts[1][b] + counts[2][b] + counts[3][b]];
  return sum < tables.most[total];
}

Napi::Value looksIncompressible(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes data = bytesArg(info, 0, "data");
  Words pieces = wordsArg(info, 1, "pieces");
  size_t count = checkedPieces(env, pieces, data.size);
  Napi::Uint8Array out = Napi::Uint8Array::New(env, count);
  for (size_t at = 0; at < count; at++) out[at] = incompressible(data.data + pieces.data[2 * at], pieces.data[2 * at + 1]) ? 1 : 0;
  return out;
}

}  // namespace

void initCut(Napi::Env env, Napi::Object exports) {
  add<cut>(env, exports, "cut");
  add<looksIncompressible>(env, exports, "looksIncompressible");
}

}  // namespace varve
