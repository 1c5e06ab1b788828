// Leaf pages of directories for a mount: checked once and whole, then searched by name and listed as records without an object for each entry.
// Also the inode numbers of a listing: HalfSipHash-2-4 with 64 bits as in lib/view/ino.ts.
#include <sys/stat.h>

#include <algorithm>
#include <vector>

#include "addon.h"
#include "leaf-reader.h"
#include "listing.h"

namespace varve {
namespace {

/** Words before the starts in an index: numbers of entries, of owners, and of entries whose blocks only list pages tell. */
constexpr size_t INDEX_HEAD = 3;
constexpr uint32_t RESERVED_INODES = 65536;
constexpr uint64_t DIRECTORY_SIZE = 4096;
constexpr uint64_t BLOCK_BYTES = 512;
constexpr uint32_t FILE_TYPES[] = {0, S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG};

Napi::Error refusal(Napi::Env env, const Refused& refused) {
  std::string reason = std::string(refused.reason) + " (at byte " + std::to_string(refused.at) + ")";
  Napi::Error error = Napi::Error::New(env, "page refused: " + reason);
  error.Set("code", Napi::String::New(env, "EBADMSG"));
  error.Set("reason", Napi::String::New(env, reason));
  return error;
}

/** An index made by checkLeaf; its numbers are not trusted, because JavaScript could have changed them. */
struct Index {
  uint32_t count;
  uint32_t owners;
  const uint32_t* starts;
  /** uid, gid of each owner. */
  const uint32_t* ids;
};

Index indexArg(const Napi::CallbackInfo& info, size_t at) {
  Words words = wordsArg(info, at, "index");
  if (words.count < INDEX_HEAD + 1 ||
      words.count != INDEX_HEAD + uint64_t{words.data[0]} + 1 + 2 * uint64_t{words.data[1]}) {
    throw rangeError(info.Env(), "index is not one of checkLeaf");
  }
  const uint32_t* starts = words.data + INDEX_HEAD;
  return {words.data[0], words.data[1], starts, starts + words.data[0] + 1};
}

Napi::Value checkLeaf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes bytes = bytesArg(info, 0, "page");
  if (bytes.size > UINT32_MAX) throw rangeError(env, "page is too large");
  try {
    const auto [starts, owners, unknown] = indexLeaf(bytes.data, bytes.size);
    Napi::Uint32Array index = Napi::Uint32Array::New(env, INDEX_HEAD + starts.size() + 2 * owners.size());
    uint32_t* to = index.Data();
    *to++ = static_cast<uint32_t>(starts.size() - 1);
    *to++ = static_cast<uint32_t>(owners.size());
    *to++ = unknown;
    to = std::copy(starts.begin(), starts.end(), to);
    for (const LeafOwner& owner : owners) {
      *to++ = owner.uid;
      *to++ = owner.gid;
    }
    return index;
  } catch (const Refused& refused) {
    throw refusal(env, refused);
  }
}

Napi::Value findInLeaf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Bytes bytes = bytesArg(info, 0, "page");
  Index index = indexArg(info, 1);
  Bytes name = bytesArg(info, 2, "name");
  try {
    LeafReader page(bytes.data, bytes.size);
    uint32_t low = 0, high = index.count;
    while (low < high) {
      uint32_t middle = low + (high - low) / 2;
      page.seek(index.starts[middle]);
      LeafEntry entry = page.entry();
      int order = compareNames(entry.name, entry.nameLength, name.data, name.size);
      if (order == 0) return Napi::Number::New(env, middle);
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return Napi::Number::New(env, -1);
  } catch (const Refused& refused) {
    throw refusal(env, refused);
  }
}

inline uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/** Number of `bytes` below `key`; as inoBelow in lib/view/ino.ts. `lead`: a NUL stands before the bytes (a hard link). */
uint64_t inodeBelow(const uint32_t* key, const uint8_t* bytes, size_t length, bool lead) {
  uint32_t v0 = key[0], v1 = key[1] ^ 0xee, v2 = key[0] ^ 0x6c796765, v3 = key[1] ^ 0x74656462;
  auto rounds = [&](int count) {
    for (; count > 0; count--) {
      v0 += v1;
      v1 = rotate(v1, 5) ^ v0;
      v0 = rotate(v0, 16);
      v2 += v3;
      v3 = rotate(v3, 8) ^ v2;
      v0 += v3;
      v3 = rotate(v3, 7) ^ v0;
      v2 += v1;
      v1 = rotate(v1, 13) ^ v2;
      v2 = rotate(v2, 16);
    }
  };
  size_t total = length + (lead ? 1 : 0);
  auto byteAt = [&](size_t i) -> uint32_t { return lead ? (i == 0 ? 0 : bytes[i - 1]) : bytes[i]; };
  size_t at = 0;
  for (; at + 4 <= total; at += 4) {
    uint32_t m = byteAt(at) | byteAt(at + 1) << 8 | byteAt(at + 2) << 16 | byteAt(at + 3) << 24;
    v3 ^= m;
    rounds(2);
    v0 ^= m;
  }
  uint32_t m = static_cast<uint32_t>(total) << 24;
  for (size_t i = 0; at + i < total; i++) m |= byteAt(at + i) << (8 * i);
  v3 ^= m;
  rounds(2);
  v0 ^= m;
  v2 ^= 0xee;
  rounds(4);
  uint32_t low = v1 ^ v3;
  v1 ^= 0xdd;
  rounds(4);
  uint32_t high = (v1 ^ v3) & 0x7fffffff;
  if (high == 0 && low < RESERVED_INODES) low = RESERVED_INODES;
  return uint64_t{high} << 32 | low;
}

/** Writes the record of `entry`. `keys`: numbers of its directory and of the snapshot's root, two words each. */
void writeListing(uint8_t* to, const LeafEntry& entry, const uint32_t* keys, uint64_t nodeId, uint32_t uid, uint32_t gid, uint32_t ttlSec) {
  size_t length = listingBytes(entry.nameLength);
  uint64_t inode = entry.linkId == nullptr ? inodeBelow(keys, entry.name, entry.nameLength, false)
                                           : inodeBelow(keys + 2, entry.linkId, LINK_ID_BYTES, true);
  bool isDirectory = entry.kind == KIND_DIRECTORY;
  store<uint32_t>(to, static_cast<uint32_t>(length));
  store<uint16_t>(to + 4, static_cast<uint16_t>(entry.nameLength));
  store<uint16_t>(to + 6, entry.dataKnown ? 0 : LISTING_BLOCKS_UNKNOWN);
  store<uint64_t>(to + 8, nodeId);
  store<uint64_t>(to + 16, inode);
  store<uint64_t>(to + 24, isDirectory ? DIRECTORY_SIZE : entry.size);
  store<uint64_t>(to + 32, (entry.dataBytes + BLOCK_BYTES - 1) / BLOCK_BYTES);
  store<int64_t>(to + 40, entry.mtimeSec);
  store<uint32_t>(to + 48, entry.mtimeNsec);
  store<uint32_t>(to + 52, FILE_TYPES[entry.kind] | entry.mode);
  store<uint32_t>(to + 56, static_cast<uint32_t>(entry.nlink));
  store<uint32_t>(to + 60, uid);
  store<uint32_t>(to + 64, gid);
  store<uint32_t>(to + 68, entry.major);
  store<uint32_t>(to + 72, entry.minor);
  store<uint32_t>(to + 76, ttlSec);
  store<uint64_t>(to + 80, 0);
  std::memcpy(to + LISTING_BYTES, entry.name, entry.nameLength);
  std::memset(to + LISTING_BYTES + entry.nameLength, 0, length - LISTING_BYTES - entry.nameLength);
}

Napi::Value listLeaf(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto first = u32Arg(info, 2, "first");
  auto count = u32Arg(info, 3, "count");
  uint64_t nodeId = sizeArg(info, 5, "nodeId");
  bool ownerRoot = boolArg(info, 6, "ownerRoot");
  auto ttlSec = u32Arg(info, 7, "ttlSec");
  uint64_t outOffset = sizeArg(info, 9, "outOffset");
  Bytes bytes = bytesArg(info, 0, "page");
  Index index = indexArg(info, 1);
  Words keys = wordsArg(info, 4, "keys");
  Bytes out = bytesArg(info, 8, "out");
  if (keys.count != 4) throw rangeError(env, "keys must have 4 words");
  if (first > index.count || count > index.count - first) throw rangeError(env, "entries outside the page");
  if (outOffset > out.size) throw rangeError(env, "outOffset lies outside out");
  try {
    LeafReader page(bytes.data, bytes.size);
    for (uint32_t i = first; i < first + count; i++) {
      page.seek(index.starts[i]);
      LeafEntry entry = page.entry();
      if (entry.owner >= index.owners) page.refuse("an owner that is not in the table");
      size_t length = listingBytes(entry.nameLength);
      if (length > out.size - outOffset) throw rangeError(env, "out is too small");
      uint32_t uid = ownerRoot ? 0 : index.ids[2 * entry.owner], gid = ownerRoot ? 0 : index.ids[2 * entry.owner + 1];
      writeListing(out.data + outOffset, entry, keys.data, nodeId + (i - first), uid, gid, ttlSec);
      outOffset += length;
    }
    return Napi::Number::New(env, static_cast<double>(outOffset));
  } catch (const Refused& refused) {
    throw refusal(env, refused);
  }
}

}  // namespace

void initLeaf(Napi::Env env, Napi::Object exports) {
  add<checkLeaf>(env, exports, "checkLeaf");
  add<findInLeaf>(env, exports, "findInLeaf");
  add<listLeaf>(env, exports, "listLeaf");
}

}  // namespace varve
