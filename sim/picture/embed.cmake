# Makes a source file of page.html, page.css and page.js: bytes, so that no character of them means anything to C++ or CMake.
#   cmake -D FOLDER=sim/picture -D OUTPUT=page_parts.cc -P embed.cmake
set(source "// Made by embed.cmake.\n#include \"sim/picture/page_parts.h\"\n\nnamespace raftkv::sim {\nnamespace {\n\n")
set(functions "")
foreach(part html css js)
  file(READ "${FOLDER}/page.${part}" bytes HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND source "constexpr unsigned char k_${part}[] = {\n${bytes}};\n\n")
  string(SUBSTRING "${part}" 0 1 first)
  string(TOUPPER "${first}" first)
  string(SUBSTRING "${part}" 1 -1 rest)
  string(APPEND functions
    "absl::string_view Page${first}${rest}() {\n  return {reinterpret_cast<const char*>(k_${part}), sizeof(k_${part})};\n}\n")
endforeach()
file(WRITE "${OUTPUT}" "${source}}  // namespace\n\n${functions}\n}  // namespace raftkv::sim\n")
