# The pinned Eigen: sets SHOAL_EIGEN_INCLUDE, the folder that holds Eigen/Core.
#
# Looked for in this order, and never in the system's folders:
#   1. -DSHOAL_EIGEN_DIR=... (or the environment variable of that name);
#   2. third_party/eigen, which git ignores and the sdist carries;
#   3. the package eigency of the Python that builds, whose unmodified Eigen headers are copied to third_party/eigen.
set(SHOAL_EIGEN_VERSION "5.0.1")
set(SHOAL_EIGEN_DIR "" CACHE PATH "Folder that holds Eigen/Core of Eigen ${SHOAL_EIGEN_VERSION}; empty: third_party/eigen")

# The version that the headers in `folder` state, or "" where there are none.
function(shoal_eigen_version folder out)
  set(version "")
  if(EXISTS "${folder}/Eigen/Version" AND EXISTS "${folder}/Eigen/Core")
    file(STRINGS "${folder}/Eigen/Version" line REGEX "define EIGEN_VERSION_STRING")
    if(line MATCHES "\"([^\"]+)\"")
      set(version "${CMAKE_MATCH_1}")
    endif()
  endif()
  set(${out} "${version}" PARENT_SCOPE)
endfunction()

function(shoal_require_eigen folder origin)
  shoal_eigen_version("${folder}" found)
  if(NOT found STREQUAL SHOAL_EIGEN_VERSION)
    if(found STREQUAL "")
      set(found "no Eigen")
    endif()
    message(FATAL_ERROR
      "shoal needs Eigen ${SHOAL_EIGEN_VERSION}, but ${origin} (${folder}) holds ${found}. "
      "Remove it or set SHOAL_EIGEN_DIR to a folder with Eigen/Core of Eigen ${SHOAL_EIGEN_VERSION}.")
  endif()
endfunction()

# The folder of the Eigen that the Python package eigency carries, or "". Its __init__ imports NumPy, so it is located, not imported.
function(shoal_find_eigency out)
  find_package(Python 3.11 COMPONENTS Interpreter QUIET)
  set(folder "")
  if(Python_Interpreter_FOUND)
    execute_process(
      COMMAND "${Python_EXECUTABLE}" -c
        "import importlib.util as u, pathlib as p; s = u.find_spec('eigency'); print(p.Path(s.origin).parent.joinpath('eigen').as_posix() if s else '')"
      OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
      set(folder "")
    endif()
  endif()
  set(${out} "${folder}" PARENT_SCOPE)
endfunction()

# Copies headers and licence texts under another name first, so that a build that dies half way leaves nothing that looks whole.
function(shoal_vendor_eigen source target)
  string(RANDOM LENGTH 8 suffix)
  set(partial "${target}.${suffix}")
  file(GLOB licences "${source}/COPYING.*")
  file(COPY "${source}/Eigen" ${licences} DESTINATION "${partial}" NO_SOURCE_PERMISSIONS)
  file(RENAME "${partial}" "${target}" RESULT failure)
  if(failure)
    file(REMOVE_RECURSE "${partial}")
    if(NOT EXISTS "${target}/Eigen/Core")
      message(FATAL_ERROR "shoal could not put Eigen into ${target}: ${failure}")
    endif()
  endif()
endfunction()

set(vendored "${CMAKE_CURRENT_SOURCE_DIR}/third_party/eigen")
if(NOT SHOAL_EIGEN_DIR AND DEFINED ENV{SHOAL_EIGEN_DIR})
  set(SHOAL_EIGEN_DIR "$ENV{SHOAL_EIGEN_DIR}")
endif()

if(SHOAL_EIGEN_DIR)
  shoal_require_eigen("${SHOAL_EIGEN_DIR}" "SHOAL_EIGEN_DIR")
  set(SHOAL_EIGEN_INCLUDE "${SHOAL_EIGEN_DIR}")
else()
  if(NOT EXISTS "${vendored}")
    shoal_find_eigency(eigency)
    if(NOT eigency)
      message(FATAL_ERROR
        "shoal found no Eigen ${SHOAL_EIGEN_VERSION}: third_party/eigen is absent (only the sdist carries it) and the Python package "
        "eigency, which carries the headers, is not installed where shoal is built (it has no wheel for this platform, or the build "
        "is not isolated). Build from shoal's sdist, install eigency==${SHOAL_EIGEN_VERSION}.1, or set SHOAL_EIGEN_DIR to a folder that "
        "holds Eigen/Core. A system copy is never used.")
    endif()
    shoal_require_eigen("${eigency}" "the Python package eigency")
    shoal_vendor_eigen("${eigency}" "${vendored}")
  endif()
  shoal_require_eigen("${vendored}" "third_party/eigen")
  set(SHOAL_EIGEN_INCLUDE "${vendored}")
endif()
message(STATUS "shoal: Eigen ${SHOAL_EIGEN_VERSION} from ${SHOAL_EIGEN_INCLUDE}")
