// The rules for directories, one after another in the order in which lib/format/pack.ts has them.
#include "pack-directory.h"

#include <string>

#include "segment-format.h"

namespace varve::segment {

namespace {

constexpr uint64_t kFirstFrameAt = 256;
constexpr uint64_t kMaxFrames = 65'536;
/** A row of a segment numbers frames and chunks with 16 bits each. */
constexpr uint64_t kMaxFrameChunks = 65'536;
constexpr uint64_t kMaxFrameBytes = 4'194'304;
constexpr uint64_t kMaxChunkBytes = 2'097'152;
constexpr uint64_t kTagBytes = 16;
constexpr uint8_t kCodecRaw = 0, kCodecZstd = 1;
constexpr uint8_t kTypeData = 1, kTypeLast = 4;
constexpr uint8_t kClassData = 1, kClassMetadata = 2;

void require(bool holds, const char* rule) {
  if (!holds) throw Damaged(std::string("directory: ") + rule);
}

}  // namespace

DirectoryTotals checkDirectory(const uint8_t* directory, size_t size, uint64_t endBytes, uint8_t packClass) {
  require(packClass == kClassData || packClass == kClassMetadata, "of an unknown pack class");
  require(size >= 8, "ends too early");
  const uint64_t frames = get<uint32_t>(directory), chunks = get<uint32_t>(directory + 4);
  require(frames <= kMaxFrames, "more frames than a pack may have");
  const uint64_t rowsAt = 8 + kFrameRowBytes * frames, length = rowsAt + kChunkRowBytes * chunks;
  require(length <= size, "counts point past its end");
  for (uint64_t i = length; i < size; i++) require(directory[i] == 0, "padding is not zero");
  const uint8_t* row = directory + rowsAt;
  uint64_t total = 0, previousEnd = kFirstFrameAt, left = chunks;
  for (uint64_t f = 0; f < frames; f++) {
    const uint8_t* frame = directory + 8 + kFrameRowBytes * f;
    const uint64_t offset = get<uint32_t>(frame), sealed = get<uint32_t>(frame + 4), raw = get<uint32_t>(frame + 8);
    const uint32_t count = get<uint32_t>(frame + 12);
    const uint8_t codec = frame[16];
    require(frame[17] == 0 && frame[18] == 0 && frame[19] == 0, "reserved bytes of a frame are not zero");
    require(offset >= previousEnd && sealed > kTagBytes && offset + sealed <= endBytes, "a frame is out of place");
    require(raw > 0 && raw <= kMaxFrameBytes && codec <= kCodecZstd, "a frame has an impossible size or codec");
    require(codec != kCodecRaw || sealed == raw + kTagBytes, "a frame is raw but of another length");
    require(count > 0 && count <= left, "a frame names more chunks than there are");
    require(count <= kMaxFrameChunks, "more chunks than a frame may have");
    uint64_t sum = 0;
    for (uint32_t c = 0; c < count; c++, row += kChunkRowBytes) {
      const uint8_t type = row[32];
      const uint64_t bytes = get<uint32_t>(row + 33);
      require(bytes > 0 && bytes <= kMaxChunkBytes && type >= kTypeData && type <= kTypeLast, "a chunk has an impossible length or type");
      require((type == kTypeData) == (packClass == kClassData), "a chunk of another class than its pack");
      sum += bytes;
    }
    require(sum == raw, "the chunks of a frame do not add up");
    previousEnd = offset + sealed;
    left -= count;
    total += raw;
  }
  require(left == 0, "chunks that belong to no frame");
  return {static_cast<size_t>(length), total};
}

}  // namespace varve::segment
