// Decompression of frames whose bytes are authentic but whose maker may be hostile. The context belongs to the thread.
#define ZSTD_STATIC_LINKING_ONLY
#include "zstd-frame.h"

#include <zstd.h>

#include <cstring>
#include <memory>
#include <new>

namespace varve {
namespace {

struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

const char* decompressFrame(const uint8_t* data, size_t size, uint8_t* out, size_t rawLength) {
  thread_local std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  if (!context) throw std::bad_alloc();
  ZSTD_frameHeader header;
  if (ZSTD_getFrameHeader(&header, data, size) != 0 || header.frameType != ZSTD_frame) return "not a zstd frame";
  if (header.frameContentSize != rawLength) return "its content size is not the recorded size";
  if (header.windowSize > RAW_MOST) return "its window is larger than 8 MiB";
  if (header.dictID != 0) return "it needs a dictionary";
  size_t whole = ZSTD_findFrameCompressedSize(data, size);
  if (ZSTD_isError(whole)) return "its zstd blocks do not add up";
  if (whole != size) return "bytes follow the zstd frame";
  size_t got = ZSTD_decompressDCtx(context.get(), out, rawLength, data, size);
  if (ZSTD_isError(got) || got != rawLength) {
    std::memset(out, 0, rawLength);
    return "zstd cannot decompress it";
  }
  return nullptr;
}

}  // namespace varve
