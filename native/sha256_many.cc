// Sixteen SHA-256 computations side by side (FIPS 180-4), one per 32-bit lane; each lane takes the next piece when its own has ended.
// What is left over at the end, too little to fill the lanes, is finished with the SHA instructions.
#include "sha256_many.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "sha256.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define VARVE_LANES 16
#define VARVE_WIDE __attribute__((target("avx512f,avx512bw")))
#define VARVE_SHA __attribute__((target("sha,sse4.1,ssse3")))
#endif

namespace varve {
namespace {

constexpr size_t BLOCK = 64;

void oneByOne(const Digestible* pieces, size_t count) {
  Sha256& hash = Sha256::ofThread();
  for (size_t at = 0; at < count; at++) hash.whole(pieces[at].data, pieces[at].size, pieces[at].digest);
}

#if defined(VARVE_LANES)

/** Fewer pieces than this at a time are done faster one by one. */
constexpr size_t WORTH_WHILE = 5;

alignas(64) constexpr uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
constexpr uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

/** State word w of lane l is words[w][l]. */
struct alignas(64) States {
  uint32_t words[8][VARVE_LANES];
};

/** rows[l] = 16 words of lane l becomes words[w] = word w of all lanes. */
VARVE_WIDE inline void transpose(__m512i* rows) {
  __m512i t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  // u[4g + k]: words k, k+4, k+8, k+12 of lanes 4g … 4g+3, one word to each quarter.
  __m512i u[16];
  for (int g = 0; g < 16; g += 4) {
    u[g] = _mm512_unpacklo_epi64(t[g], t[g + 2]);
    u[g + 1] = _mm512_unpackhi_epi64(t[g], t[g + 2]);
    u[g + 2] = _mm512_unpacklo_epi64(t[g + 1], t[g + 3]);
    u[g + 3] = _mm512_unpackhi_epi64(t[g + 1], t[g + 3]);
  }
  for (int k = 0; k < 4; k++) {
    __m512i ab02 = _mm512_shuffle_i32x4(u[k], u[4 + k], 0x88), ab13 = _mm512_shuffle_i32x4(u[k], u[4 + k], 0xdd);
    __m512i cd02 = _mm512_shuffle_i32x4(u[8 + k], u[12 + k], 0x88), cd13 = _mm512_shuffle_i32x4(u[8 + k], u[12 + k], 0xdd);
    rows[k] = _mm512_shuffle_i32x4(ab02, cd02, 0x88);
    rows[8 + k] = _mm512_shuffle_i32x4(ab02, cd02, 0xdd);
    rows[4 + k] = _mm512_shuffle_i32x4(ab13, cd13, 0x88);
    rows[12 + k] = _mm512_shuffle_i32x4(ab13, cd13, 0xdd);
  }
}

constexpr int XOR3 = 0x96, CHOOSE = 0xca, MAJORITY = 0xe8;

/** Takes `blocks` blocks of each lane into its state. */
VARVE_WIDE void compressWide(States& states, const uint8_t* const* data, size_t blocks) {
  const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
  __m512i s[8];
  for (int i = 0; i < 8; i++) s[i] = _mm512_load_si512(states.words[i]);
  for (size_t block = 0; block < blocks; block++) {
    __m512i w[16];
    for (int lane = 0; lane < 16; lane++) w[lane] = _mm512_shuffle_epi8(_mm512_loadu_si512(data[lane] + block * BLOCK), swap);
    transpose(w);
    __m512i a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
#pragma GCC unroll 64
    for (int round = 0; round < 64; round++) {
      __m512i& word = w[round & 15];
      if (round >= 16) {
        __m512i w15 = w[(round + 1) & 15], w2 = w[(round + 14) & 15];
        __m512i sigma0 = _mm512_ternarylogic_epi32(_mm512_ror_epi32(w15, 7), _mm512_ror_epi32(w15, 18), _mm512_srli_epi32(w15, 3), XOR3);
        __m512i sigma1 = _mm512_ternarylogic_epi32(_mm512_ror_epi32(w2, 17), _mm512_ror_epi32(w2, 19), _mm512_srli_epi32(w2, 10), XOR3);
        word = _mm512_add_epi32(_mm512_add_epi32(word, sigma0), _mm512_add_epi32(w[(round + 9) & 15], sigma1));
      }
      __m512i big1 = _mm512_ternarylogic_epi32(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11), _mm512_ror_epi32(e, 25), XOR3);
      __m512i big0 = _mm512_ternarylogic_epi32(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13), _mm512_ror_epi32(a, 22), XOR3);
      __m512i choice = _mm512_ternarylogic_epi32(e, f, g, CHOOSE);
      __m512i most = _mm512_ternarylogic_epi32(a, b, c, MAJORITY);
      __m512i keyed = _mm512_add_epi32(_mm512_add_epi32(h, word), _mm512_set1_epi32(static_cast<int>(K[round])));
      __m512i t1 = _mm512_add_epi32(keyed, _mm512_add_epi32(big1, choice));
      h = g, g = f, f = e, e = _mm512_add_epi32(d, t1);
      d = c, c = b, b = a, a = _mm512_add_epi32(t1, _mm512_add_epi32(big0, most));
    }
    const __m512i added[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) s[i] = _mm512_add_epi32(s[i], added[i]);
  }
  for (int i = 0; i < 8; i++) _mm512_store_si512(states.words[i], s[i]);
}

/** Takes `blocks` blocks into one state, with the SHA instructions. */
VARVE_SHA void compressOne(uint32_t* state, const uint8_t* data, size_t blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xb1);
  __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(badc, hgfe, 8), cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
  for (; blocks > 0; blocks--, data += BLOCK) {
    __m128i before0 = abef, before1 = cdgh, w[4];
    for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * i)), swap);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      __m128i keyed = _mm_add_epi32(w[i & 3], _mm_load_si128(reinterpret_cast<const __m128i*>(K + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, keyed);
      if (i < 12) {
        __m128i begun = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
        w[i & 3] = _mm_sha256msg2_epu32(begun, w[(i + 3) & 3]);
      }
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(keyed, 0x0e));
    }
    abef = _mm_add_epi32(abef, before0);
    cdgh = _mm_add_epi32(cdgh, before1);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/** Whether processor and kernel offer AVX-512 (F and BW) and the SHA instructions. */
bool haveWide() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & bit_SHA) != 0 && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw");
}

/** One lane's piece: its whole blocks where they are, then its last bytes with the padding. */
struct Lane {
  const Digestible* piece = nullptr;
  const uint8_t* at = nullptr;
  size_t blocks = 0;
  bool inTail = false;
  uint8_t tail[2 * BLOCK];

  void begin(const Digestible& next) {
    piece = &next;
    at = next.data;
    blocks = next.size / BLOCK;
    inTail = false;
    if (blocks == 0) toTail();
  }
  void toTail() {
    size_t rest = piece->size % BLOCK;
    blocks = rest + 9 <= BLOCK ? 1 : 2;
    std::memset(tail, 0, sizeof tail);
    if (rest != 0) std::memcpy(tail, piece->data + (piece->size - rest), rest);
    tail[rest] = 0x80;
    uint64_t bits = __builtin_bswap64(static_cast<uint64_t>(piece->size) * 8);
    std::memcpy(tail + blocks * BLOCK - 8, &bits, 8);
    at = tail;
    inTail = true;
  }
  /** `done` blocks more are taken; false when that was the piece's end. */
  bool advance(size_t done) {
    at += done * BLOCK;
    blocks -= done;
    if (blocks > 0) return true;
    if (inTail) return false;
    toTail();
    return true;
  }
};

void writeDigest(const uint32_t* state, uint8_t* digest) {
  for (int i = 0; i < 8; i++) {
    uint32_t word = __builtin_bswap32(state[i]);
    std::memcpy(digest + 4 * i, &word, 4);
  }
}

void sideBySide(const Digestible* pieces, size_t count) {
  States states;
  std::array<Lane, VARVE_LANES> lanes;
  size_t next = 0, active = 0;
  auto refill = [&](size_t lane) {
    lanes[lane].piece = nullptr;
    if (next == count) return;
    lanes[lane].begin(pieces[next++]);
    for (int i = 0; i < 8; i++) states.words[i][lane] = START[i];
    active++;
  };
  for (size_t lane = 0; lane < VARVE_LANES; lane++) refill(lane);
  while (active >= WORTH_WHILE) {
    const uint8_t* from[VARVE_LANES];
    const Lane* shortest = nullptr;
    for (const Lane& lane : lanes) {
      if (lane.piece != nullptr && (shortest == nullptr || lane.blocks < shortest->blocks)) shortest = &lane;
    }
    size_t blocks = shortest->blocks;
    // An idle lane computes on another's bytes, for nobody.
    for (size_t lane = 0; lane < VARVE_LANES; lane++) from[lane] = lanes[lane].piece != nullptr ? lanes[lane].at : shortest->at;
    compressWide(states, from, blocks);
    for (size_t lane = 0; lane < VARVE_LANES; lane++) {
      if (lanes[lane].piece == nullptr || lanes[lane].advance(blocks)) continue;
      uint32_t state[8];
      for (int i = 0; i < 8; i++) state[i] = states.words[i][lane];
      writeDigest(state, lanes[lane].piece->digest);
      active--;
      refill(lane);
    }
  }
  for (size_t lane = 0; lane < VARVE_LANES; lane++) {
    if (lanes[lane].piece == nullptr) continue;
    uint32_t state[8];
    for (int i = 0; i < 8; i++) state[i] = states.words[i][lane];
    do compressOne(state, lanes[lane].at, lanes[lane].blocks);
    while (lanes[lane].advance(lanes[lane].blocks));
    writeDigest(state, lanes[lane].piece->digest);
  }
}

#endif

}  // namespace

void sha256Many(Digestible* pieces, size_t count) {
#if defined(VARVE_LANES)
  static const bool wide = haveWide();
  if (wide && count >= WORTH_WHILE) {
    // Long ones first, so that the lanes end together.
    std::sort(pieces, pieces + count, [](const Digestible& a, const Digestible& b) { return a.size > b.size; });
    sideBySide(pieces, count);
    return;
  }
#endif
  oneByOne(pieces, count);
}

}  // namespace varve
