# The libraries and programs that the rooms use, from the system (nng: ChatstoreNng.cmake). All that
# is missing is told at once, with the Debian packages to install.

set(missing_texts "")
set(missing_packages "")

# Records that TEXT is missing, and that PACKAGE has it.
macro(chatstore_missing text package)
    list(APPEND missing_texts "${text}")
    list(APPEND missing_packages "${package}")
endmacro()

# Makes the INTERFACE target TARGET of pkg-config's MODULE (with a condition, as "sqlite3>=3.40").
function(chatstore_find_module target module package)
    add_library(${target} INTERFACE)
    if(PkgConfig_FOUND)
        pkg_check_modules(${target}_pc QUIET IMPORTED_TARGET GLOBAL "${module}")
    endif()
    if(${target}_pc_FOUND)
        target_link_libraries(${target} INTERFACE PkgConfig::${target}_pc)
    else()
        chatstore_missing("${module} (pkg-config)" ${package})
        set(missing_texts "${missing_texts}" PARENT_SCOPE)
        set(missing_packages "${missing_packages}" PARENT_SCOPE)
    endif()
endfunction()

find_package(Threads REQUIRED)
find_package(PkgConfig QUIET)
if(NOT PkgConfig_FOUND)
    chatstore_missing("the program pkg-config" pkg-config)
endif()

chatstore_find_module(chatstore_protobuf_c "libprotobuf-c>=1.4.1" libprotobuf-c-dev)
chatstore_find_module(chatstore_protobuf_cpp "protobuf>=3.21" libprotobuf-dev)
chatstore_find_module(chatstore_sqlite "sqlite3>=3.40" libsqlite3-dev)
chatstore_find_module(chatstore_jansson "jansson>=2.13" libjansson-dev)
chatstore_find_module(chatstore_uuid "uuid" uuid-dev)
add_library(chatstore_cmocka INTERFACE)
if(BUILD_TESTING)
    chatstore_find_module(chatstore_cmocka_module "cmocka>=1.1.5" libcmocka-dev)
    target_link_libraries(chatstore_cmocka INTERFACE chatstore_cmocka_module)
endif()

# Debian's pkg-config and CMake files of toml++ ask for its shared library, which parses plain
# TOML 1.0 only, whatever the program was compiled with. The headers alone do what they are told.
add_library(chatstore_toml INTERFACE)
find_path(CHATSTORE_TOML_INCLUDE toml++/toml.h)
mark_as_advanced(CHATSTORE_TOML_INCLUDE)
if(CHATSTORE_TOML_INCLUDE)
    target_include_directories(chatstore_toml SYSTEM INTERFACE "${CHATSTORE_TOML_INCLUDE}")
    target_compile_definitions(chatstore_toml INTERFACE
        TOML_HEADER_ONLY=1 TOML_ENABLE_UNRELEASED_FEATURES=1)
else()
    chatstore_missing("toml++/toml.h" libtomlplusplus-dev)
endif()

find_program(CHATSTORE_PROTOC protoc)
if(NOT CHATSTORE_PROTOC)
    chatstore_missing("the program protoc" protobuf-compiler)
endif()
find_program(CHATSTORE_PROTOC_GEN_C protoc-gen-c)
if(NOT CHATSTORE_PROTOC_GEN_C)
    chatstore_missing("the program protoc-gen-c" protobuf-c-compiler)
endif()
find_path(CHATSTORE_PROTOBUF_INCLUDE google/protobuf/timestamp.proto)
mark_as_advanced(CHATSTORE_PROTOC CHATSTORE_PROTOC_GEN_C CHATSTORE_PROTOBUF_INCLUDE)
if(NOT CHATSTORE_PROTOBUF_INCLUDE)
    chatstore_missing("google/protobuf/timestamp.proto" libprotobuf-dev)
endif()

# The system's Python comes first: another one on PATH seldom sees Debian's python3-protobuf.
function(chatstore_find_python)
    if(CHATSTORE_PYTHON)
        return()
    endif()
    find_program(python_on_path python3 NO_CACHE)
    foreach(python /usr/bin/python3 ${python_on_path})
        execute_process(COMMAND "${python}" -c "import google.protobuf"
            RESULT_VARIABLE result OUTPUT_QUIET ERROR_QUIET)
        if(result EQUAL 0)
            set(CHATSTORE_PYTHON "${python}" CACHE FILEPATH "Python with google.protobuf")
            mark_as_advanced(CHATSTORE_PYTHON)
            return()
        endif()
    endforeach()
endfunction()
chatstore_find_python()
if(NOT CHATSTORE_PYTHON)
    chatstore_missing("a python3 that can import google.protobuf" "python3-protobuf")
endif()

if(missing_packages)
    list(REMOVE_DUPLICATES missing_packages)
    list(JOIN missing_texts "\n  " missing_texts)
    list(JOIN missing_packages " " missing_packages)
    message(FATAL_ERROR "Missing for the build:\n  ${missing_texts}\nInstall with:\n"
        "  apt-get install --no-install-recommends ${missing_packages}\n"
        "or everything that building and testing need with packaging/install-packages.")
endif()
