// Reads a leaf page of a directory (docs/format.md §9) without copying, and refuses whatever the specification does not allow. Its twin is
// lib/format/tree.ts, which accepts and refuses the same bytes. Knows nothing of JavaScript; never looks outside the bytes it was given.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace varve {

/** Why a page is refused, and the byte at which that was seen. */
struct Refused {
  const char* reason;
  size_t at;
};

constexpr uint8_t KIND_REGULAR = 1, KIND_DIRECTORY = 2, KIND_SYMLINK = 3, KIND_CHAR = 6, KIND_BLOCK = 7, KIND_IMAGE = 8;
constexpr size_t LINK_ID_BYTES = 16;

/** What a listing shows of an entry. Pointers go into the page. */
struct LeafEntry {
  const uint8_t* name = nullptr;
  size_t nameLength = 0;
  uint8_t kind = 0;
  uint32_t mode = 0;
  uint32_t owner = 0;
  int64_t mtimeSec = 0;
  uint32_t mtimeNsec = 0;
  /** Null when it has one name only. */
  const uint8_t* linkId = nullptr;
  uint64_t nlink = 1;
  /** Of a file's content, or a symlink's target. */
  uint64_t size = 0;
  /** Bytes that are not holes, unless list pages must be asked. */
  uint64_t dataBytes = 0;
  bool dataKnown = true;
  uint32_t major = 0;
  uint32_t minor = 0;
};

struct LeafOwner {
  uint32_t uid;
  uint32_t gid;
  /** Its encoding: equal owners have equal ones. */
  const uint8_t* start;
  size_t length;
};

/** A cursor over deterministic CBOR. Every function throws Refused. */
class LeafReader {
 public:
  LeafReader(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  size_t at() const { return at_; }
  const uint8_t* here() const { return data_ + at_; }
  /** @throws Refused when `at` lies outside */
  void seek(size_t at);

  /** Head of a leaf up to its owners; returns how many there are. */
  size_t head();
  LeafOwner owner();
  /** Number of entries; the first one follows. */
  size_t entryCount() { return array(); }
  /** The next entry, all of it checked but the owner's number. */
  LeafEntry entry();
  void end();

  [[noreturn]] void refuse(const char* reason) const { throw Refused{reason, at_}; }

 private:
  uint64_t argument(uint8_t info);
  uint64_t itemHead(uint8_t major, const char* otherwise);
  uint64_t uint(uint64_t most);
  int64_t integer();
  size_t array();
  void array(size_t count);
  const uint8_t* bytes(size_t& length);
  const uint8_t* bytesOf(size_t length);
  void textOrNull();
  bool null();
  uint8_t peekMajor() const;
  void xattrs();
  void content(LeafEntry& entry, bool hasDigest);
  void rows(LeafEntry& entry);

  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

/** Where each entry of a leaf begins, and the end; its owners; and how many entries' blocks only list pages tell. */
struct LeafIndex {
  std::vector<uint32_t> starts;
  std::vector<LeafOwner> owners;
  uint32_t unknown = 0;
};

/** Checks a leaf whole. `size` below 4 GiB. @throws Refused */
LeafIndex indexLeaf(const uint8_t* data, size_t size);

/** Order of names: unsigned bytes, a prefix first. */
int compareNames(const uint8_t* a, size_t aLength, const uint8_t* b, size_t bLength);

}  // namespace varve
