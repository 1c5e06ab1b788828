// Encoding and checks of the segment layout, CRC-32C (SSE 4.2 where the processor has it, else a table), and exact reads and writes.
#include "segment-format.h"

#include <array>
#include <cerrno>

namespace varve::segment {

namespace {

constexpr char kMagic[8] = {'V', 'A', 'R', 'V', 'E', 'S', 'E', 'G'};

constexpr std::array<std::array<uint32_t, 256>, 8> makeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
    tables[0][i] = crc;
  }
  for (uint32_t i = 0; i < 256; i++)
    for (size_t t = 1; t < 8; t++) tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 255];
  return tables;
}

constexpr auto kTables = makeTables();

uint32_t crcByTable(uint32_t crc, const uint8_t* data, size_t length) {
  for (; length >= 8; length -= 8, data += 8) {
    const uint64_t word = get<uint64_t>(data) ^ crc;
    crc = 0;
    for (size_t t = 0; t < 8; t++) crc ^= kTables[7 - t][(word >> (8 * t)) & 255];
  }
  for (; length > 0; length--) crc = (crc >> 8) ^ kTables[0][(crc ^ *data++) & 255];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t crcByInstruction(uint32_t seed, const uint8_t* data, size_t length) {
  uint64_t crc = seed;
  for (; length >= 8; length -= 8, data += 8) crc = __builtin_ia32_crc32di(crc, get<uint64_t>(data));
  auto narrow = static_cast<uint32_t>(crc);
  for (; length > 0; length--) narrow = __builtin_ia32_crc32qi(narrow, *data++);
  return narrow;
}
#endif

using Crc = uint32_t (*)(uint32_t, const uint8_t*, size_t);

Crc chooseCrc() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crcByInstruction;
#endif
  return crcByTable;
}

uint64_t roundUp(uint64_t value) { return (value + kPageBytes - 1) / kPageBytes * kPageBytes; }

}  // namespace

uint32_t crc32c(uint32_t seed, const uint8_t* data, size_t length) {
  static const Crc chosen = chooseCrc();
  return ~chosen(~seed, data, length);
}

SystemFailure::SystemFailure(int code, const char* call)
    : std::runtime_error(std::string(call) + ": " + std::strerror(code)), code(code), call(call) {}

Layout::Layout(uint32_t salt, uint64_t rows, uint32_t packs, uint64_t directoriesLength, uint64_t coveredLength)
    : salt(salt), rows(rows), packs(packs), directoriesLength(directoriesLength), coveredLength(coveredLength) {
  pages = static_cast<uint32_t>((rows + kRowsPerPage - 1) / kRowsPerPage);
  filterBlocks = rows * 21 / 1024 + 1;
  pagesOffset = roundUp(kHeaderBytes + directoriesLength);
  filterOffset = pagesOffset + uint64_t{pages} * kPageBytes;
  packTableOffset = filterOffset + filterBlocks * kBlockBytes;
  coveredOffset = packTableOffset + uint64_t{packs} * kPackEntryBytes;
  keysOffset = coveredOffset + coveredLength;
  fileSize = keysOffset + uint64_t{pages} * 4;
}

void Layout::encode(uint8_t* header) const {
  std::memset(header, 0, kHeaderBytes);
  std::memcpy(header, kMagic, sizeof kMagic);
  put(header + 8, kVersion);
  put(header + 12, salt);
  put(header + 16, rows);
  put(header + 24, packs);
  put(header + 28, pages);
  put(header + 32, directoriesLength);
  put(header + 40, pagesOffset);
  put(header + 48, filterOffset);
  put(header + 56, filterBlocks);
  put(header + 64, packTableOffset);
  put(header + 72, coveredOffset);
  put(header + 80, coveredLength);
  put(header + 88, keysOffset);
  put(header + 96, fileSize);
  put(header + 104, filterCrc);
}

Layout Layout::decode(const uint8_t* header, uint64_t actualSize) {
  if (std::memcmp(header, kMagic, sizeof kMagic) != 0 || get<uint32_t>(header + 8) != kVersion) throw Damaged("not an index segment");
  const auto rows = get<uint64_t>(header + 16);
  const auto directories = get<uint64_t>(header + 32);
  const auto covered = get<uint64_t>(header + 80);
  if (rows > kMaxRows || directories > actualSize || covered > actualSize) throw Damaged("index segment header out of bounds");
  Layout layout(get<uint32_t>(header + 12), rows, get<uint32_t>(header + 24), directories, covered);
  layout.filterCrc = get<uint32_t>(header + 104);
  uint8_t again[kHeaderBytes];
  layout.encode(again);
  if (std::memcmp(header, again, 128) != 0 || layout.fileSize != actualSize) throw Damaged("index segment header inconsistent");
  return layout;
}

void sealPage(uint8_t* page, uint32_t count, uint32_t number, uint32_t salt) {
  std::memset(page + count * kRowBytes, 0, kRowBytes * (kRowsPerPage - count));
  put(page + 4080, count);
  put(page + 4084, number);
  put(page + 4088, salt);
  put(page + 4092, crc32c(0, page, 4092));
}

bool pageVerifies(const uint8_t* page, uint32_t number, const Layout& layout) {
  return get<uint32_t>(page + 4092) == crc32c(0, page, 4092) && get<uint32_t>(page + 4080) == layout.rowsIn(number) &&
         get<uint32_t>(page + 4084) == number && get<uint32_t>(page + 4088) == layout.salt;
}

void readFully(int fd, uint8_t* to, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t got = ::pread(fd, to, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemFailure(errno, "pread");
    if (got == 0) throw Damaged("index segment is shorter than it says");
    to += got;
    length -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
}

void writeFully(int fd, const uint8_t* from, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t put = ::pwrite(fd, from, length, static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) throw SystemFailure(errno, "pwrite");
    from += put;
    length -= static_cast<size_t>(put);
    offset += static_cast<uint64_t>(put);
  }
}

}  // namespace varve::segment
