# Compiler settings shared by every target, and the two functions that the rooms use.
include(GNUInstallDirs)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)

find_program(RAFTKV_CCACHE ccache)
if(RAFTKV_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${RAFTKV_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${RAFTKV_CCACHE}")
endif()

find_package(Threads REQUIRED)
find_package(absl REQUIRED)

# Everything of ours is compiled with these; nothing of them leaks to users of the installed package.
add_library(raftkv_flags INTERFACE)
target_compile_options(raftkv_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Wimplicit-fallthrough -fno-strict-aliasing -fstack-protector-strong -fno-omit-frame-pointer -fno-semantic-interposition
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # libstdc++ 12 and GCC 12 together report these two inside the standard library.
  target_compile_options(raftkv_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(NOT CMAKE_BUILD_TYPE STREQUAL "Debug" AND NOT RAFTKV_SANITIZE)
  target_compile_definitions(raftkv_flags INTERFACE _FORTIFY_SOURCE=2)
endif()
target_link_options(raftkv_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack)
if(RAFTKV_SANITIZE)
  target_compile_options(raftkv_flags INTERFACE -fsanitize=${RAFTKV_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(raftkv_flags INTERFACE -fsanitize=${RAFTKV_SANITIZE})
endif()
if(RAFTKV_FUZZ)
  target_compile_options(raftkv_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# raftkv_library(NAME SOURCES ... DEPS ... PRIVATE_DEPS ... [PURE])
# Makes library target raftkv_NAME with alias raftkv::NAME. PURE rooms (everything that is simulated) are compiled without
# exceptions: an error there is a value.
function(raftkv_library name)
  cmake_parse_arguments(ARG "PURE" "" "SOURCES;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(raftkv_${name} STATIC ${ARG_SOURCES})
  add_library(raftkv::${name} ALIAS raftkv_${name})
  set_target_properties(raftkv_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(raftkv_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/raftkv>)
  target_compile_features(raftkv_${name} PUBLIC cxx_std_20)
  target_link_libraries(raftkv_${name} PUBLIC ${ARG_DEPS}
    PRIVATE $<BUILD_INTERFACE:raftkv_flags> ${ARG_PRIVATE_DEPS})
  if(ARG_PURE)
    target_compile_options(raftkv_${name} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions>)
  endif()
endfunction()

# raftkv_program(NAME SOURCES ... DEPS ...): an installed executable.
function(raftkv_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE raftkv_flags ${ARG_DEPS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
endfunction()

# raftkv_test(NAME SOURCES ... DEPS ... [ARGS ...] [ENV ...]): one GoogleTest program, one ctest entry. Exit code 77 counts as skipped.
function(raftkv_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;DEPS;ARGS;ENV;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE raftkv_flags ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE RAFTKV_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} SKIP_RETURN_CODE 77
    ENVIRONMENT "${ARG_ENV}" LABELS "${ARG_LABELS}")
endfunction()
