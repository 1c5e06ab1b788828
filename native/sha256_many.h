// SHA-256 of many independent pieces at once. One computation is a chain that leaves most of a core idle; sixteen in the lanes of
// AVX-512 registers fill it. Where the processor lacks that, the pieces go through OpenSSL one by one, with the same result.
#pragma once
#include <cstddef>
#include <cstdint>

namespace varve {

/** A run of bytes and where its 32-byte digest goes. */
struct Digestible {
  const uint8_t* data;
  size_t size;
  uint8_t* digest;
};

/** Digests all `pieces`, which are put in another order meanwhile. For any thread. */
void sha256Many(Digestible* pieces, size_t count);

}  // namespace varve
