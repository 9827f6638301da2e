# Leaves a host's library out, in one line that says what is missing and what to do, or stops where
# the user asked for it (option=ON). The line is installed too: pip hides what a build prints, so the
# package itself tells, when the library is asked for.
function(dcn_leave_out option host reason)
  if("${${option}}" STREQUAL "ON")
    message(FATAL_ERROR "${option}=ON, but ${reason}")
  endif()
  message(STATUS "dcn_deploy: left out: ${host} library: ${reason}")
  file(WRITE ${CMAKE_BINARY_DIR}/left_out/${host}.txt "${reason}\n")
  install(FILES ${CMAKE_BINARY_DIR}/left_out/${host}.txt DESTINATION dcn_deploy/lib/left_out)
endfunction()
