# raftkv_lay_out(TARGET TRAINING args ... CHECK args ...)
# A simulated event runs through ten thousand instructions, nearly all of them once: what it waits for is mostly the code
# itself. With RAFTKV_LAY_OUT the finished program is laid out anew by llvm-bolt: it counts how often each branch is taken
# while it runs with the arguments of TRAINING, and what is run is put together, in the order in which it is run. The program
# must then print the same with the arguments of CHECK as it did before; otherwise the build fails.
option(RAFTKV_LAY_OUT "Lay the simulator's code out by how it runs (needs llvm-bolt 19, x86-64)" OFF)

if(RAFTKV_LAY_OUT)
  if(RAFTKV_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
    message(FATAL_ERROR "RAFTKV_LAY_OUT is for optimised builds without sanitizers")
  endif()
  find_program(RAFTKV_BOLT NAMES llvm-bolt-19 llvm-bolt)
  if(NOT RAFTKV_BOLT)
    message(FATAL_ERROR "RAFTKV_LAY_OUT needs llvm-bolt: scripts/bootstrap --tuned, or apt-get install bolt-19")
  endif()
  # It looks for its runtime library beside itself, wherever the link to it is.
  file(REAL_PATH "${RAFTKV_BOLT}" RAFTKV_BOLT_PROGRAM)
endif()

function(raftkv_lay_out target)
  if(NOT RAFTKV_LAY_OUT)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "TRAINING;CHECK" ${ARGN})
  target_link_options(${target} PRIVATE -Wl,--emit-relocs)
  add_custom_command(TARGET ${target} POST_BUILD
    COMMAND ${CMAKE_COMMAND} "-DBOLT=${RAFTKV_BOLT_PROGRAM}" "-DPROGRAM=$<TARGET_FILE:${target}>" "-DTRAINING=${ARG_TRAINING}"
      "-DCHECK=${ARG_CHECK}" -P "${PROJECT_SOURCE_DIR}/cmake/lay_out.cmake"
    COMMENT "Laying ${target} out by how it runs" VERBATIM)
endfunction()
