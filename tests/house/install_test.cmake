# Installs the development files below SCRATCH, then configures, builds and runs a project that knows nothing but that folder.
#
#   cmake -D BUILD=... -D SCRATCH=... -D CONSUMER=... -D EXAMPLE=... -D COMPILER=... -D FLAGS=... -P install_test.cmake
foreach(variable BUILD SCRATCH CONSUMER EXAMPLE COMPILER)
  if(NOT ${variable})
    message(FATAL_ERROR "${variable} is not set")
  endif()
endforeach()

# Headers that were installed once and are no more would hide that something still includes them.
file(REMOVE_RECURSE "${SCRATCH}/prefix" "${SCRATCH}/build" "${SCRATCH}/example")

execute_process(COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET
  COMMAND ${CMAKE_COMMAND} --install "${BUILD}" --component development --prefix "${SCRATCH}/prefix")
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} -S "${CONSUMER}" -B "${SCRATCH}/build" -G Ninja
    "-DCMAKE_PREFIX_PATH=${SCRATCH}/prefix" "-DRAFTKV_PREFIX=${SCRATCH}/prefix"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
    "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror ${FLAGS}")
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} --build "${SCRATCH}/build")
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND "${SCRATCH}/build/consumer")

# The example for embedders is such a project, too.
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} -S "${EXAMPLE}" -B "${SCRATCH}/example" -G Ninja
    "-DCMAKE_PREFIX_PATH=${SCRATCH}/prefix"
    "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
    "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror ${FLAGS}")
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} --build "${SCRATCH}/example")
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND "${SCRATCH}/example/counter")

# The package description must not remember where it was built.
file(GLOB_RECURSE descriptions "${SCRATCH}/prefix/*.cmake")
foreach(description ${descriptions})
  file(READ "${description}" text)
  string(FIND "${text}" "${SCRATCH}" place)
  if(NOT place EQUAL -1)
    message(FATAL_ERROR "${description} mentions the folder it was installed to; it could not be moved or packaged")
  endif()
endforeach()
