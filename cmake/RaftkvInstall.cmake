# What `cmake --install` puts where, so that another project can say find_package(raftkv) and link raftkv::raft.
#
# Components: `programs` (see raftkv_program) and `development` (headers, libraries, the package description).
include(CMakePackageConfigHelpers)

set(raftkv_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/raftkv")
set(raftkv_installed_libraries)

# A room's headers are installed when its library is: a header without its code is a trap. Headers keep their folders below
# include/raftkv, so the include lines of the headers themselves hold in both places.
foreach(room raft:core/raft kv:core/kv wire:core/wire replica:core/replica storage:storage sim:sim)
  string(REPLACE ":" ";" room "${room}")
  list(POP_FRONT room name folder)
  if(TARGET raftkv_${name})
    list(APPEND raftkv_installed_libraries raftkv_${name})
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/${folder}/" COMPONENT development
      DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/raftkv/${folder}" FILES_MATCHING PATTERN "*.h"
      # Shared by the .cc files of core/wire, of no use to others.
      PATTERN "flat.h" EXCLUDE PATTERN "append_layouts.h" EXCLUDE)
  endif()
endforeach()

install(TARGETS ${raftkv_installed_libraries} EXPORT raftkvTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(EXPORT raftkvTargets NAMESPACE raftkv:: DESTINATION ${raftkv_package_dir} COMPONENT development)

# The packages that a user of the static libraries must find too are those whose targets the libraries link.
set(raftkv_dependencies "find_dependency(absl)")
foreach(library ${raftkv_installed_libraries})
  get_target_property(raftkv_links ${library} LINK_LIBRARIES)
  get_target_property(raftkv_interface_links ${library} INTERFACE_LINK_LIBRARIES)
  list(APPEND raftkv_links ${raftkv_interface_links})
  if(raftkv_links MATCHES "Threads::")
    list(APPEND raftkv_dependencies "find_dependency(Threads)")
  endif()
  if(raftkv_links MATCHES "flatbuffers")
    list(APPEND raftkv_dependencies "find_dependency(FlatBuffers CONFIG)")
  endif()
  if(raftkv_links MATCHES "nlohmann_json")
    list(APPEND raftkv_dependencies "find_dependency(nlohmann_json)")
  endif()
endforeach()
list(REMOVE_DUPLICATES raftkv_dependencies)
list(JOIN raftkv_dependencies "\n" raftkv_dependencies)

configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/raftkvConfig.cmake.in" "${PROJECT_BINARY_DIR}/raftkvConfig.cmake"
  INSTALL_DESTINATION ${raftkv_package_dir} NO_SET_AND_CHECK_MACRO)
# Until 1.0 a minor release may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/raftkvConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/raftkvConfig.cmake" "${PROJECT_BINARY_DIR}/raftkvConfigVersion.cmake"
  DESTINATION ${raftkv_package_dir} COMPONENT development)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT development)
