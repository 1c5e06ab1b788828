// Scanning one directory, for whichever thread does it.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace varve {

/** Why a directory could not be scanned: an errno, or 0, and the call that failed. */
struct ScanFailure {
  int error = 0;
  const char* syscall = "";
};

/** Fills `out` with the records of the directory at `path` (lib/native.ts, ScanKernels). */
ScanFailure scan(const std::string& path, std::vector<uint8_t>& out);

}  // namespace varve
