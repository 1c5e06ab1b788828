// The rule of docs/format.md §7 for a pack's directory: every count, sum and bound. Its twin is decodeDirectory in lib/format/pack.ts, which accepts and
// refuses the same bytes; test/fuzz holds the two to each other. Knows nothing of JavaScript; never looks outside the bytes it was given.
#pragma once

#include <cstddef>
#include <cstdint>

namespace varve::segment {

constexpr uint64_t kMaxPackBytes = 67'108'864;
constexpr size_t kFrameRowBytes = 20;
constexpr size_t kChunkRowBytes = 37;

struct DirectoryTotals {
  /** Bytes up to the padding. */
  size_t length;
  /** Sum of all raw lengths. */
  uint64_t rawBytes;
};

/**
 * Checks a directory, perhaps padded, of a pack of class `packClass`; its frames must end at or before `endBytes`.
 * @throws Damaged with the rule that is broken
 */
DirectoryTotals checkDirectory(const uint8_t* directory, size_t size, uint64_t endBytes, uint8_t packClass);

}  // namespace varve::segment
