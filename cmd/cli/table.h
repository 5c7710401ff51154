// Aligned columns.
#pragma once

#include <string>
#include <vector>

namespace raftkv::cli {

// The first row is the head. Columns are as wide as their widest cell, numbers to the right, no
// blanks at the end of lines. `colours`: the head is bold.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows, bool colours);

}  // namespace raftkv::cli
