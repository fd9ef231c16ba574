# One Python extension module per instruction set, all from cpp/bindings/.
#
# Separate shared objects, each exporting its PyInit function only: Eigen's templates compiled with different -m flags into one
# object would be merged by the linker, and the CPU could meet instructions that it lacks.
include(CheckCXXSourceCompiles)

# Which processor the compiler aims at (not the one that runs CMake: they differ under cross compilation and Rosetta).
check_cxx_source_compiles("#ifndef __x86_64__\n#error\n#endif\nint main() {}" SHOAL_TARGET_X86_64)
check_cxx_source_compiles("#ifndef __aarch64__\n#error\n#endif\nint main() {}" SHOAL_TARGET_ARM64)

# Every flag here that adds instructions has its CPU feature in ISA_FEATURES of python/shoal/_core/choose.py.
if(SHOAL_TARGET_X86_64)
  set(SHOAL_ISAS baseline avx2 avx512)
  set(SHOAL_FLAGS_baseline -march=x86-64)
  set(SHOAL_FLAGS_avx2 -march=x86-64 -mavx2 -mfma -mtune=haswell)
  set(SHOAL_FLAGS_avx512
    -march=x86-64 -mavx2 -mfma -mavx512f -mavx512dq -mavx512vl -mavx512bw -mprefer-vector-width=512 -mtune=skylake-avx512)
elseif(SHOAL_TARGET_ARM64)
  set(SHOAL_ISAS neon)
  set(SHOAL_FLAGS_neon "")
else()
  set(SHOAL_ISAS baseline)
  set(SHOAL_FLAGS_baseline "")
endif()
set(SHOAL_ONLY_ISAS "${SHOAL_ISAS}" CACHE STRING "Instruction sets to build for: some of ${SHOAL_ISAS}")
foreach(isa IN LISTS SHOAL_ONLY_ISAS)
  if(NOT isa IN_LIST SHOAL_ISAS)
    message(FATAL_ERROR "SHOAL_ONLY_ISAS must name some of ${SHOAL_ISAS}, got ${SHOAL_ONLY_ISAS}")
  endif()
endforeach()
set(SHOAL_ISAS ${SHOAL_ONLY_ISAS})

# What the core is compiled with, whatever the instruction set; `target` may be a module or a C++ test.
function(shoal_core_options target isa)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cpp")
  target_include_directories(${target} SYSTEM PRIVATE "${SHOAL_EIGEN_INCLUDE}")
  target_compile_definitions(${target} PRIVATE
    EIGEN_FAST_MATH=0 # see lanes.hpp; here, so that no order of includes can change it
    SHOAL_ISA="${isa}" SHOAL_VERSION="${SHOAL_VERSION}" SHOAL_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
  # No -ffast-math: it changes results, and it sets flush-to-zero for the whole process. Contraction is explicit (shoal::fma), so
  # that every instruction set with fused multiply-add computes the same bits. errno is not looked at anywhere.
  target_compile_options(${target} PRIVATE
    -O3 -ffp-contract=off -fno-math-errno -Wall -Wextra -pthread ${SHOAL_FLAGS_${isa}})
  target_link_options(${target} PRIVATE -pthread)
  if(isa STREQUAL "avx512" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized -Wno-uninitialized) # GCC bug 105593: its own AVX-512 header
  endif()
  if(SHOAL_WERROR)
    target_compile_options(${target} PRIVATE -Werror)
  endif()
  if(SHOAL_SANITIZE)
    target_compile_definitions(${target} PRIVATE _GLIBCXX_ASSERTIONS)
    target_compile_options(${target} PRIVATE -fsanitize=${SHOAL_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1 -O1)
    target_link_options(${target} PRIVATE -fsanitize=${SHOAL_SANITIZE})
  endif()
endfunction()

# What goes into a module: the core's options, and nothing that another module could meet. The same sources give the same bytes wherever they lie: no path
# of the build machine goes into it.
function(shoal_module_options target isa)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  shoal_core_options(${target} ${isa})
  target_compile_options(${target} PRIVATE
    "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=shoal"
    "-ffile-prefix-map=${PROJECT_BINARY_DIR}=build"
    "-ffile-prefix-map=${SHOAL_EIGEN_INCLUDE}=eigen")
endfunction()

function(shoal_add_module isa)
  set(target "_${isa}")
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/cpp/bindings/*.cpp")
  pybind11_add_module(${target} MODULE NO_EXTRAS ${sources})
  target_link_libraries(${target} PRIVATE trainings_${isa})
  target_compile_definitions(${target} PRIVATE SHOAL_MODULE_NAME=${target})
  shoal_module_options(${target} ${isa})
  target_compile_options(${target} PRIVATE "-ffile-prefix-map=${pybind11_INCLUDE_DIR}=pybind11")
  if(APPLE)
    target_link_options(${target} PRIVATE "LINKER:-exported_symbol,_PyInit_${target}")
  else()
    set(script "${PROJECT_BINARY_DIR}/${target}.map")
    file(CONFIGURE OUTPUT "${script}" CONTENT "{ global: PyInit_${target}; local: *; };\n")
    target_link_options(${target} PRIVATE "LINKER:--version-script=${script}")
  endif()
  install(TARGETS ${target} LIBRARY DESTINATION shoal/_core)
  if(SHOAL_INPLACE)
    add_custom_command(TARGET ${target} POST_BUILD
      COMMAND "${CMAKE_COMMAND}" -E copy "$<TARGET_FILE:${target}>" "${PROJECT_SOURCE_DIR}/python/shoal/_core/")
  endif()
endfunction()
