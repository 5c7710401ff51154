# cmake -DBOLT=llvm-bolt -DPROGRAM=file -DTRAINING=args -DCHECK=args -P lay_out.cmake (see RaftkvLayOut.cmake)
# Replaces PROGRAM only when all of it worked.
cmake_minimum_required(VERSION 3.25)

# run(OUTPUT command ...): its standard output; the build ends with what it said if it fails.
function(run output)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE said ERROR_VARIABLE complaint RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}: ${result}\n${said}${complaint}")
  endif()
  set(${output} "${said}" PARENT_SCOPE)
endfunction()

set(counting "${PROGRAM}.counting")
set(counts "${PROGRAM}.counts")
set(laid_out "${PROGRAM}.laid-out")
file(REMOVE "${counts}")

run(ignored "${BOLT}" "${PROGRAM}" -o "${counting}" --instrument "--instrumentation-file=${counts}")
run(ignored "${counting}" ${TRAINING})
if(NOT EXISTS "${counts}")
  message(FATAL_ERROR "${counting} has counted nothing")
endif()
run(ignored "${BOLT}" "${PROGRAM}" -o "${laid_out}" "-data=${counts}" -icf=1 -reorder-blocks=ext-tsp -reorder-functions=hfsort+
  -split-functions -split-all-cold -split-eh -plt=all -inline-small-functions -peepholes=all -frame-opt=hot)

run(before "${PROGRAM}" ${CHECK})
run(after "${laid_out}" ${CHECK})
if(NOT before STREQUAL after)
  message(FATAL_ERROR "${PROGRAM} does not do the same when it is laid out anew. Before:\n${before}\nAfter:\n${after}")
endif()
file(RENAME "${laid_out}" "${PROGRAM}")
file(REMOVE "${counting}" "${counts}")
