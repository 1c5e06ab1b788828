// The rules of docs/format.md §9 for leaves, one after another in the order in which lib/format/tree.ts has them.
#include "leaf-reader.h"

#include <algorithm>
#include <cstring>
#include <string_view>

namespace varve {
namespace {

constexpr uint64_t MAX_SAFE_INTEGER = (uint64_t{1} << 53) - 1;
constexpr uint64_t MAX_CHUNK_BYTES = 2'097'152;
constexpr uint64_t MAX_INLINE_XATTR_BYTES = 4096;
constexpr size_t MAX_NAME_BYTES = 255, MAX_TARGET_BYTES = 4096, MAX_PAGE_LEVEL = 8, MAX_LIST_DEPTH = 4, ROW_BYTES = 40, ID_BYTES = 32;
constexpr uint64_t MAX_NSEC = 999'999'999, MAX_MODE = 07777, MAX_U32 = 0xffffffff;
constexpr uint8_t UNSIGNED = 0, NEGATIVE = 1, BYTES = 2, TEXT = 3, ARRAY = 4;
constexpr uint8_t NULL_BYTE = 0xf6;
constexpr size_t COMMON_ITEMS = 10;
/** Items after the common ones, by kind. */
constexpr size_t TAIL_ITEMS[] = {0, 3, 2, 1, 0, 0, 2, 2, 3};

bool hasNul(const uint8_t* data, size_t length) { return length != 0 && std::memchr(data, 0, length) != nullptr; }

bool isValidName(const uint8_t* name, size_t length) {
  if (length == 0 || length > MAX_NAME_BYTES) return false;
  if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) return false;
  return std::memchr(name, '/', length) == nullptr && !hasNul(name, length);
}

/** Well-formed UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
bool isUtf8(const uint8_t* s, size_t length) {
  for (size_t i = 0; i < length;) {
    uint8_t lead = s[i++];
    if (lead < 0x80) continue;
    size_t more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (more == 0 || more > length - i) return false;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (s[i] < low || s[i] > high) return false;
    for (size_t k = 1; k < more; k++)
      if ((s[i + k] & 0xc0) != 0x80) return false;
    i += more;
  }
  return true;
}

bool isFileKind(uint8_t kind) { return kind == KIND_REGULAR || kind == KIND_IMAGE; }

}  // namespace

int compareNames(const uint8_t* a, size_t aLength, const uint8_t* b, size_t bLength) {
  size_t common = std::min(aLength, bLength);
  int order = common == 0 ? 0 : std::memcmp(a, b, common);
  return order != 0 ? order : aLength < bLength ? -1 : aLength > bLength ? 1 : 0;
}

void LeafReader::seek(size_t at) {
  if (at > size_) throw Refused{"an entry outside the page", size_};
  at_ = at;
}

uint64_t LeafReader::argument(uint8_t info) {
  if (info < 24) return info;
  if (info > 27) refuse("CBOR length of a kind that is not allowed");
  size_t bytes = size_t{1} << (info - 24);
  if (bytes > size_ - at_) refuse("CBOR ends too early");
  uint64_t value = 0;
  for (size_t i = 0; i < bytes; i++) value = value << 8 | data_[at_ + i];
  at_ += bytes;
  uint64_t least = bytes == 1 ? 24 : uint64_t{1} << (bytes * 4);
  if (value < least) refuse("CBOR integer not in its shortest form");
  if (value > MAX_SAFE_INTEGER) refuse("CBOR integer too large");
  return value;
}

uint64_t LeafReader::itemHead(uint8_t major, const char* otherwise) {
  if (at_ >= size_) refuse("CBOR ends too early");
  uint8_t byte = data_[at_];
  if (byte >> 5 != major) refuse(otherwise);
  at_++;
  return argument(byte & 31);
}

uint64_t LeafReader::uint(uint64_t most) {
  uint64_t value = itemHead(UNSIGNED, "CBOR: unsigned integer expected");
  if (value > most) refuse("CBOR integer above its limit");
  return value;
}

int64_t LeafReader::integer() {
  if (at_ >= size_) refuse("CBOR ends too early");
  uint8_t byte = data_[at_];
  if (byte >> 5 > NEGATIVE) refuse("CBOR: integer expected");
  at_++;
  auto value = static_cast<int64_t>(argument(byte & 31));
  if (byte >> 5 == UNSIGNED) return value;
  if (value == static_cast<int64_t>(MAX_SAFE_INTEGER)) refuse("CBOR integer too large");
  return -1 - value;
}

size_t LeafReader::array() {
  uint64_t count = itemHead(ARRAY, "CBOR: array expected");
  if (count > size_ - at_) refuse("array longer than its object");
  return static_cast<size_t>(count);
}

void LeafReader::array(size_t count) {
  if (itemHead(ARRAY, "CBOR: array expected") != count) refuse("array of another length expected");
  if (count > size_ - at_) refuse("array longer than its object");
}

const uint8_t* LeafReader::bytes(size_t& length) {
  uint64_t wanted = itemHead(BYTES, "CBOR: byte string expected");
  if (wanted > size_ - at_) refuse("byte string longer than its object");
  length = static_cast<size_t>(wanted);
  const uint8_t* start = data_ + at_;
  at_ += length;
  return start;
}

const uint8_t* LeafReader::bytesOf(size_t length) {
  size_t got = 0;
  const uint8_t* start = bytes(got);
  if (got != length) refuse("byte string of another length expected");
  return start;
}

void LeafReader::textOrNull() {
  if (null()) return;
  uint64_t length = itemHead(TEXT, "CBOR: text expected");
  if (length > size_ - at_) refuse("text longer than its object");
  if (!isUtf8(data_ + at_, static_cast<size_t>(length))) refuse("text is not UTF-8");
  at_ += static_cast<size_t>(length);
}

bool LeafReader::null() {
  if (at_ >= size_ || data_[at_] != NULL_BYTE) return false;
  at_++;
  return true;
}

uint8_t LeafReader::peekMajor() const {
  if (at_ >= size_) refuse("CBOR ends too early");
  return data_[at_] >> 5;
}

size_t LeafReader::head() {
  size_t items = array();
  uint64_t level = uint(MAX_PAGE_LEVEL);
  if (level != 0) refuse("a leaf expected");
  if (items != 3) refuse("a page of a wrong length");
  return array();
}

LeafOwner LeafReader::owner() {
  const uint8_t* start = here();
  array(4);
  auto uid = static_cast<uint32_t>(uint(MAX_U32));
  auto gid = static_cast<uint32_t>(uint(MAX_U32));
  textOrNull();
  textOrNull();
  return {uid, gid, start, static_cast<size_t>(here() - start)};
}

LeafEntry LeafReader::entry() {
  LeafEntry entry;
  size_t items = array();
  entry.name = bytes(entry.nameLength);
  if (!isValidName(entry.name, entry.nameLength)) refuse("a name that no directory may hold");
  entry.kind = static_cast<uint8_t>(uint(KIND_IMAGE));
  if (entry.kind < KIND_REGULAR || items != COMMON_ITEMS + TAIL_ITEMS[entry.kind]) refuse("an entry of an unknown kind or length");
  entry.mode = static_cast<uint32_t>(uint(MAX_MODE));
  entry.owner = static_cast<uint32_t>(std::min(uint(MAX_SAFE_INTEGER), MAX_U32));
  entry.mtimeSec = integer();
  entry.mtimeNsec = static_cast<uint32_t>(uint(MAX_NSEC));
  bool born = !null();
  if (born) integer();
  uint(born ? MAX_NSEC : 0);
  xattrs();
  if (!null()) {
    array(2);
    entry.linkId = bytesOf(LINK_ID_BYTES);
    entry.nlink = uint(MAX_SAFE_INTEGER);
    if (entry.nlink < 2 || entry.kind == KIND_DIRECTORY) refuse("an impossible hard link");
  }
  if (isFileKind(entry.kind)) {
    entry.size = uint(MAX_SAFE_INTEGER);
    bool hasDigest = !null();
    if (hasDigest) bytesOf(ID_BYTES);
    content(entry, hasDigest);
  } else if (entry.kind == KIND_DIRECTORY) {
    bytesOf(ID_BYTES);
    array(3);
    for (int i = 0; i < 3; i++) uint(MAX_SAFE_INTEGER);
  } else if (entry.kind == KIND_SYMLINK) {
    size_t length = 0;
    const uint8_t* target = bytes(length);
    if (length == 0 || length > MAX_TARGET_BYTES || hasNul(target, length)) refuse("an impossible symlink target");
    entry.size = length;
  } else if (entry.kind == KIND_CHAR || entry.kind == KIND_BLOCK) {
    entry.major = static_cast<uint32_t>(uint(MAX_U32));
    entry.minor = static_cast<uint32_t>(uint(MAX_U32));
  }
  return entry;
}

void LeafReader::xattrs() {
  size_t count = array();
  const uint8_t* before = nullptr;
  size_t beforeLength = 0;
  for (size_t i = 0; i < count; i++) {
    array(2);
    size_t length = 0;
    const uint8_t* name = bytes(length);
    if (length == 0 || length > MAX_NAME_BYTES || hasNul(name, length)) refuse("an impossible attribute name");
    if (i > 0 && compareNames(before, beforeLength, name, length) >= 0) refuse("attributes out of order");
    before = name;
    beforeLength = length;
    if (peekMajor() == BYTES) {
      bytes(length);
      if (length > MAX_INLINE_XATTR_BYTES) refuse("a long attribute value that is not a chunk");
    } else {
      array(2);
      if (uint(MAX_CHUNK_BYTES) <= MAX_INLINE_XATTR_BYTES) refuse("a short attribute value that is a chunk");
      bytesOf(ID_BYTES);
    }
  }
}

void LeafReader::content(LeafEntry& entry, bool hasDigest) {
  entry.dataBytes = entry.size;
  if (null()) {
    if (!hasDigest) refuse("no content and no digest");
    if (entry.size != 0) refuse("no content, but a size");
    return;
  }
  uint8_t major = peekMajor();
  if (major == BYTES) {
    size_t length = 0;
    bytes(length);
    if (length != entry.size || length == 0 || !hasDigest) refuse("impossible inline content");
  } else if (major <= NEGATIVE) {
    if (uint(MAX_SAFE_INTEGER) != 1 || entry.size == 0 || entry.size > MAX_CHUNK_BYTES || !hasDigest)
      refuse("impossible whole-chunk content");
  } else {
    rows(entry);
  }
}

void LeafReader::rows(LeafEntry& entry) {
  static const uint8_t ZEROS[ID_BYTES] = {0};
  array(2);
  uint64_t depth = uint(MAX_LIST_DEPTH);
  size_t length = 0;
  const uint8_t* row = bytes(length);
  if (length == 0 || length % ROW_BYTES != 0) refuse("rows of an impossible length");
  uint64_t sum = 0, data = 0;
  for (const uint8_t* end = row + length; row != end; row += ROW_BYTES) {
    uint64_t covers = 0;
    std::memcpy(&covers, row, sizeof covers);
    if (covers == 0 || covers > MAX_SAFE_INTEGER) refuse("a row of an impossible length");
    bool hole = std::memcmp(row + 8, ZEROS, ID_BYTES) == 0;
    if (hole ? depth > 0 : depth == 0 && covers > MAX_CHUNK_BYTES) refuse("a row that cannot be");
    sum += covers;
    if (sum > MAX_SAFE_INTEGER) refuse("rows longer than any file");
    if (!hole) data += covers;
  }
  if (sum != entry.size) refuse("rows do not add up to the size");
  entry.dataBytes = data;
  entry.dataKnown = depth == 0;
}

void LeafReader::end() {
  if (at_ != size_) refuse("bytes after the end of the record");
}

namespace {

/** Owners must stand in the order of first use, each used and each once: one page has one encoding only. */
void checkOwners(const LeafReader& page, const std::vector<LeafOwner>& owners, size_t seen) {
  if (seen != owners.size()) page.refuse("an owner that nobody has");
  std::vector<std::string_view> encodings;
  encodings.reserve(owners.size());
  for (const LeafOwner& owner : owners) encodings.emplace_back(reinterpret_cast<const char*>(owner.start), owner.length);
  std::sort(encodings.begin(), encodings.end());
  if (std::adjacent_find(encodings.begin(), encodings.end()) != encodings.end()) page.refuse("an owner twice");
}

}  // namespace

LeafIndex indexLeaf(const uint8_t* data, size_t size) {
  LeafIndex index;
  LeafReader page(data, size);
  for (size_t left = page.head(); left > 0; left--) index.owners.push_back(page.owner());
  size_t count = page.entryCount();
  index.starts.reserve(count + 1);
  LeafEntry before;
  size_t seen = 0;
  for (size_t i = 0; i < count; i++) {
    index.starts.push_back(static_cast<uint32_t>(page.at()));
    LeafEntry entry = page.entry();
    if (entry.owner >= index.owners.size()) page.refuse("an owner that is not in the table");
    if (entry.owner > seen) page.refuse("owners out of order");
    if (entry.owner == seen) seen++;
    if (!entry.dataKnown) index.unknown++;
    if (i > 0 && compareNames(before.name, before.nameLength, entry.name, entry.nameLength) >= 0)
      page.refuse("entries out of order or twice");
    before = entry;
  }
  index.starts.push_back(static_cast<uint32_t>(page.at()));
  page.end();
  checkOwners(page, index.owners, seen);
  return index;
}

}  // namespace varve
