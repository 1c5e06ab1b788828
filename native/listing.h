// Records of a listing: what stat(2) says of an entry, and its name. Written by leaf.cc, read by dirents.cc and by TypeScript. Layout: lib/native.ts,
// ListingKernels.
#pragma once
#include <cstdint>

#include "arguments.h"

namespace varve {

constexpr size_t LISTING_BYTES = 88;
constexpr uint16_t LISTING_BLOCKS_UNKNOWN = 1;
constexpr size_t MAX_LISTING_NAME = 255;

/** Bytes of a record with a name of `length` bytes. */
inline size_t listingBytes(size_t length) { return (LISTING_BYTES + length + 7) & ~size_t{7}; }

}  // namespace varve
