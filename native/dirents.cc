// Directory replies of the FUSE protocol from records of a listing: struct fuse_direntplus or fuse_dirent, as lib/mount/fuse-protocol.ts writes them one
// by one. Which records, from where and how many bytes the kernel wants is decided by the caller.
#include "addon.h"
#include "listing.h"

namespace varve {
namespace {

constexpr size_t ENTRY_OUT_BYTES = 128;
constexpr size_t DIRENT_BYTES = 24;
constexpr uint32_t TYPE_MASK = 0170000;

/** The kernel's 32-bit device number: 12 bits of major, 20 of minor. */
uint32_t encodeDevice(uint32_t major, uint32_t minor) { return (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xfff00) << 12; }

/** struct fuse_entry_out with its fuse_attr; access and change time are the modification time. */
void writeEntryOut(uint8_t* to, const uint8_t* record) {
  uint64_t ttlSec = load<uint32_t>(record + 76);
  store<uint64_t>(to, load<uint64_t>(record + 8));
  store<uint64_t>(to + 8, 0);
  store<uint64_t>(to + 16, ttlSec);
  store<uint64_t>(to + 24, ttlSec);
  store<uint64_t>(to + 32, 0);
  std::memcpy(to + 40, record + 16, 24);
  for (size_t at : {64, 72, 80}) std::memcpy(to + at, record + 40, 8);
  for (size_t at : {88, 92, 96}) std::memcpy(to + at, record + 48, 4);
  std::memcpy(to + 100, record + 52, 16);
  store<uint32_t>(to + 116, encodeDevice(load<uint32_t>(record + 68), load<uint32_t>(record + 72)));
  store<uint64_t>(to + 120, 0);
}

void writeDirents(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  uint64_t offset = sizeArg(info, 1, "offset");
  bool plus = boolArg(info, 2, "plus");
  uint64_t end = sizeArg(info, 4, "end");
  Bytes records = bytesArg(info, 0, "records");
  Bytes out = bytesArg(info, 3, "out");
  Words progress = wordsArg(info, 5, "progress");
  if (progress.count != 2) throw rangeError(env, "progress must have 2 words");
  size_t at = progress.data[0], from = progress.data[1];
  if (end > out.size || end > UINT32_MAX || at > end || from > records.size) throw rangeError(env, "a place outside out or records");
  while (records.size - from >= LISTING_BYTES) {
    const uint8_t* record = records.data + from;
    size_t nameLength = load<uint16_t>(record + 4);
    size_t length = load<uint32_t>(record);
    if (nameLength > MAX_LISTING_NAME || length != listingBytes(nameLength) || length > records.size - from)
      throw rangeError(env, "records are not those of a listing");
    size_t nameRoom = (DIRENT_BYTES + nameLength + 7) & ~size_t{7};
    size_t room = (plus ? ENTRY_OUT_BYTES : 0) + nameRoom;
    if (room > end - at) break;
    uint8_t* to = out.data + at;
    if (plus) {
      writeEntryOut(to, record);
      to += ENTRY_OUT_BYTES;
    }
    store<uint64_t>(to, load<uint64_t>(record + 16));
    store<uint64_t>(to + 8, ++offset);
    store<uint32_t>(to + 16, static_cast<uint32_t>(nameLength));
    store<uint32_t>(to + 20, (load<uint32_t>(record + 52) & TYPE_MASK) >> 12);
    std::memcpy(to + DIRENT_BYTES, record + LISTING_BYTES, nameLength);
    std::memset(to + DIRENT_BYTES + nameLength, 0, nameRoom - DIRENT_BYTES - nameLength);
    at += room;
    from += length;
  }
  progress.data[0] = static_cast<uint32_t>(at);
  progress.data[1] = static_cast<uint32_t>(from);
}

}  // namespace

void initDirents(Napi::Env env, Napi::Object exports) { add<writeDirents>(env, exports, "writeDirents"); }

}  // namespace varve
