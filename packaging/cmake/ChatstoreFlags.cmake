# How everything of ours is compiled: the targets chatstore_build and chatstore_flags.
#
#   CHATSTORE_SANITIZE   empty, or "address,undefined", or "thread"
#   CHATSTORE_COVERAGE   ON: instrument for gcov and do not optimize, so that lines are counted truly

set(CHATSTORE_SANITIZE "" CACHE STRING "Sanitizers: empty, address,undefined or thread")
set_property(CACHE CHATSTORE_SANITIZE PROPERTY STRINGS "" "address,undefined" "thread")
option(CHATSTORE_COVERAGE "Instrument for gcov" OFF)

if(NOT CHATSTORE_SANITIZE MATCHES "^(|address|undefined|address,undefined|thread)$")
    message(FATAL_ERROR "CHATSTORE_SANITIZE is \"${CHATSTORE_SANITIZE}\"; "
        "it may be empty, address, undefined, address,undefined or thread.")
endif()

get_property(multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT CMAKE_BUILD_TYPE AND NOT multi_config)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release or RelWithDebInfo" FORCE)
endif()

# Without -DNDEBUG: an assertion is a mistake of ours, and is worth stopping for in production too.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g")

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(chatstore_build INTERFACE)
target_compile_definitions(chatstore_build INTERFACE _GNU_SOURCE)
target_compile_options(chatstore_build INTERFACE -fvisibility=hidden -fno-omit-frame-pointer)

if(CHATSTORE_SANITIZE)
    set(sanitize_options "-fsanitize=${CHATSTORE_SANITIZE}")
    if(CHATSTORE_SANITIZE MATCHES "undefined")
        # A finding that only prints would leave the test green.
        list(APPEND sanitize_options -fno-sanitize-recover=all)
    endif()
    target_compile_options(chatstore_build INTERFACE ${sanitize_options})
    target_link_options(chatstore_build INTERFACE ${sanitize_options})
elseif(NOT CHATSTORE_COVERAGE)
    # Some distributions' compilers define it already, with another value.
    target_compile_options(chatstore_build INTERFACE -fstack-protector-strong
        "$<$<CONFIG:RelWithDebInfo,Release>:SHELL:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>")
endif()

if(CHATSTORE_COVERAGE)
    # Threads count at the same time: counters that are not atomic would lose lines.
    # Not what comes from the system's headers: C++ shares such functions between the files of a
    # program, and gcov then refuses to add up the counts of whole files.
    target_compile_options(chatstore_build INTERFACE --coverage -fprofile-update=atomic -O0
        "-fprofile-exclude-files=/usr/.*")
    target_link_options(chatstore_build INTERFACE --coverage)
endif()

add_library(chatstore_flags INTERFACE)
target_link_libraries(chatstore_flags INTERFACE chatstore_build)
target_compile_options(chatstore_flags INTERFACE -Wall -Wextra -Wconversion -Wshadow -Werror
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes> $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    -Wformat=2 -Wundef)
if(CHATSTORE_SANITIZE)
    # GCC documents that it reports what is not so when it instruments; the other builds check it.
    target_compile_options(chatstore_flags INTERFACE -Wno-maybe-uninitialized)
endif()
