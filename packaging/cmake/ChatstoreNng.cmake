# nng with TLS: the targets chatstore_nng and chatstore_mbedcrypto (mbedTLS's hashes, keys and
# certificates).
#
# From the system if it is new enough there, else a newer Debian's static libraries, fetched by
# packaging/nng/fetch into CHATSTORE_DEPS_DIR and linked as one archive, libchatstore_nng.a, which
# may go into shared libraries too (packaging/nng/renames.txt). Its symbols are not exported again
# from what links it.
#
#   CHATSTORE_DEPS_DIR    where fetched packages are kept, also from the environment; several build
#                         folders may share it. Default: BUILD/deps
#   CHATSTORE_NNG_FETCH   OFF: never fetch; then the system's nng must be 1.10 or newer

set(deps_dir_default "${CMAKE_BINARY_DIR}/deps")
if(DEFINED ENV{CHATSTORE_DEPS_DIR})
    set(deps_dir_default "$ENV{CHATSTORE_DEPS_DIR}")
endif()
cmake_path(ABSOLUTE_PATH deps_dir_default)
set(CHATSTORE_DEPS_DIR "${deps_dir_default}" CACHE PATH "Where fetched packages are kept")
option(CHATSTORE_NNG_FETCH "Fetch nng if the system's is older than 1.12" ON)

set(nng_reason
    "chatstore wants nng >= 1.12: 1.10 and 1.11 may end the server when a WebSocket connection ends. "
    "With those before 1.10, clients that are killed in the middle of a call wedge the server for "
    "good, and connections that are dropped early make a unix socket deaf.")
list(JOIN nng_reason "" nng_reason)

# Sets VERSION_OUT to "1.10.1" as the header says.
function(chatstore_nng_version header version_out)
    set(numbers "")
    foreach(part MAJOR MINOR PATCH)
        file(STRINGS "${header}" line REGEX "^#define NNG_${part}_VERSION +[0-9]+")
        string(REGEX REPLACE ".*VERSION +([0-9]+).*" "\\1" number "${line}")
        list(APPEND numbers "${number}")
    endforeach()
    list(JOIN numbers "." version)
    set(${version_out} "${version}" PARENT_SCOPE)
endfunction()

# Says which it is, and what is wrong with it.
function(chatstore_nng_check include_folder)
    chatstore_nng_version("${include_folder}/nng/nng.h" version)
    message(STATUS "nng: ${version}")
    if(version VERSION_LESS 1.12)
        message(WARNING "${nng_reason}\nThis is ${version}: do not listen on ws:// or wss://.")
    endif()
endfunction()

function(chatstore_nng_from_system)
    chatstore_nng_check("${CHATSTORE_NNG_INCLUDE}")
    find_library(CHATSTORE_MBEDCRYPTO_LIBRARY mbedcrypto REQUIRED)
    find_library(CHATSTORE_MBEDX509_LIBRARY mbedx509 REQUIRED)
    mark_as_advanced(CHATSTORE_MBEDCRYPTO_LIBRARY CHATSTORE_MBEDX509_LIBRARY)
    add_library(chatstore_nng INTERFACE)
    target_include_directories(chatstore_nng SYSTEM INTERFACE "${CHATSTORE_NNG_INCLUDE}")
    target_link_libraries(chatstore_nng INTERFACE "${CHATSTORE_NNG_LIBRARY}" Threads::Threads)
    add_library(chatstore_mbedcrypto INTERFACE)
    target_link_libraries(chatstore_mbedcrypto INTERFACE
        "${CHATSTORE_MBEDX509_LIBRARY}" "${CHATSTORE_MBEDCRYPTO_LIBRARY}")
endfunction()

function(chatstore_nng_from_fetched)
    message(STATUS "nng: fetching a newer Debian's into ${CHATSTORE_DEPS_DIR}, unless it is there")
    execute_process(COMMAND "${PROJECT_SOURCE_DIR}/packaging/nng/fetch" "${CHATSTORE_DEPS_DIR}"
        RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        message(FATAL_ERROR "${nng_reason}\nThis system has none, and it could not be fetched; "
            "the reason is above.")
    endif()
    set(root "${CHATSTORE_DEPS_DIR}/root/usr")
    chatstore_nng_check("${root}/include")
    file(GLOB nng_archive "${root}/lib/*/libnng.a")
    get_filename_component(folder "${nng_archive}" DIRECTORY)
    set(archives "")
    foreach(name mbedtls mbedx509 mbedcrypto)
        list(APPEND archives "${folder}/lib${name}.a")
    endforeach()

    set(source "${PROJECT_SOURCE_DIR}/packaging/nng")
    add_library(chatstore_nng_additions OBJECT "${source}/glibc_compat.c" "${source}/mends.c")
    target_include_directories(chatstore_nng_additions SYSTEM PRIVATE "${root}/include")
    target_link_libraries(chatstore_nng_additions PRIVATE chatstore_flags)
    set(output "${PROJECT_BINARY_DIR}/libchatstore_nng.a")
    add_custom_command(OUTPUT "${output}"
        COMMAND "${source}/bundle" "${CMAKE_AR}" "${CMAKE_OBJCOPY}" "${output}"
            "${nng_archive}" ${archives} "$<TARGET_OBJECTS:chatstore_nng_additions>"
        DEPENDS "${source}/bundle" "${source}/unrelax" "${source}/renames.txt" "${nng_archive}" ${archives}
            chatstore_nng_additions "$<TARGET_OBJECTS:chatstore_nng_additions>"
        COMMENT "Bundling nng and mbedTLS" COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(chatstore_nng_bundle DEPENDS "${output}")

    add_library(chatstore_nng STATIC IMPORTED GLOBAL)
    add_dependencies(chatstore_nng chatstore_nng_bundle)
    set_target_properties(chatstore_nng PROPERTIES IMPORTED_LOCATION "${output}")
    target_include_directories(chatstore_nng SYSTEM INTERFACE "${root}/include")
    target_link_options(chatstore_nng INTERFACE "LINKER:--exclude-libs,libchatstore_nng.a")
    target_link_libraries(chatstore_nng INTERFACE Threads::Threads)
    add_library(chatstore_mbedcrypto INTERFACE)
    target_link_libraries(chatstore_mbedcrypto INTERFACE chatstore_nng)
endfunction()

find_path(CHATSTORE_NNG_INCLUDE nng/nng.h)
find_library(CHATSTORE_NNG_LIBRARY nng)
mark_as_advanced(CHATSTORE_NNG_INCLUDE CHATSTORE_NNG_LIBRARY)
set(nng_version "none")
if(CHATSTORE_NNG_INCLUDE AND CHATSTORE_NNG_LIBRARY)
    chatstore_nng_version("${CHATSTORE_NNG_INCLUDE}/nng/nng.h" nng_version)
endif()
set(nng_oldest 1.12)
if(NOT CHATSTORE_NNG_FETCH)
    set(nng_oldest 1.10)
endif()
# Not 2.x: it renames the functions that we call.
if(nng_version VERSION_GREATER_EQUAL nng_oldest AND nng_version VERSION_LESS 2)
    set(CHATSTORE_NNG_BUNDLED OFF)
    chatstore_nng_from_system()
elseif(CHATSTORE_NNG_FETCH)
    message(STATUS "nng: not the system's (${nng_version}). ${nng_reason}")
    set(CHATSTORE_NNG_BUNDLED ON)
    chatstore_nng_from_fetched()
else()
    message(FATAL_ERROR "${nng_reason}\nThe system's is: ${nng_version}. Install a newer one, or "
        "let the build fetch it: -DCHATSTORE_NNG_FETCH=ON.")
endif()
