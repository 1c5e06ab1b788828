// The zstd frame inside a frame of a pack (docs/format.md §7): what a reader must require of it before and while it decompresses. Knows nothing of JavaScript.
#pragma once
#include <cstddef>
#include <cstdint>

namespace varve {

/** Largest window a reader accepts, and with it the largest frame: a frame with its content size in the header is its own window. */
constexpr size_t RAW_MOST = size_t{1} << 23;

/** Decompresses a verified payload into exactly rawLength bytes. Returns the reason of a refusal, or null. */
const char* decompressFrame(const uint8_t* data, size_t size, uint8_t* out, size_t rawLength);

}  // namespace varve
