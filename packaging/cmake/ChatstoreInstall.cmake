# Installing the client library so that pkg-config "chatstore" and find_package(chatstore CONFIG)
# find it. stubs/ calls this once:
#
#   chatstore_install_headers(BASE file...)
#       headers, each given relative to the folder BASE, to INCLUDE/chatstore-1/file. They have a
#       folder of their own because google/protobuf/timestamp.pb-c.h is among them.
#   chatstore_install_library(SHARED target STATIC target REQUIRES module...)
#       the libraries as libchatstore.so.1 and libchatstore.a, chatstore.pc, the CMake package, and
#       nng's archive, which only those need who link statically. REQUIRES: pkg-config modules
#       that both link, with their condition: "libprotobuf-c >= 1.4.1". All that the libraries
#       consist of is to be in them, as sources or OBJECT libraries, and what they link is PRIVATE.

# Number of the ABI: raised when a program that was compiled before would not run with it.
set(CHATSTORE_ABI 1)
set(CHATSTORE_INCLUDE_FOLDER "${CMAKE_INSTALL_INCLUDEDIR}/chatstore-${CHATSTORE_ABI}")
set(CHATSTORE_CMAKE_FOLDER "${CMAKE_INSTALL_LIBDIR}/cmake/chatstore")

function(chatstore_install_headers base)
    foreach(file IN LISTS ARGN)
        get_filename_component(folder "${file}" DIRECTORY)
        install(FILES "${base}/${file}" DESTINATION "${CHATSTORE_INCLUDE_FOLDER}/${folder}")
    endforeach()
endfunction()

function(chatstore_install_library)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "SHARED;STATIC" "REQUIRES")
    include(CMakePackageConfigHelpers)
    set_target_properties(${arg_SHARED} PROPERTIES OUTPUT_NAME chatstore
        VERSION ${CHATSTORE_ABI}.0.0 SOVERSION ${CHATSTORE_ABI})
    set_target_properties(${arg_STATIC} PROPERTIES OUTPUT_NAME chatstore)
    install(TARGETS ${arg_SHARED} ${arg_STATIC}
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")

    # For those who link statically; the shared library holds nng or names its library itself.
    if(CHATSTORE_NNG_BUNDLED)
        get_target_property(nng_archive chatstore_nng IMPORTED_LOCATION)
        install(FILES "${nng_archive}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
        set(nng_name chatstore_nng)
    else()
        set(nng_name nng)
    endif()
    list(JOIN arg_REQUIRES ", " requires)
    string(REGEX REPLACE " *(>=|=|<=) *" "\\1" modules "${arg_REQUIRES}")

    # pkg-config wants absolute folders, or such that begin with its own variables.
    cmake_path(ABSOLUTE_PATH CMAKE_INSTALL_LIBDIR BASE_DIRECTORY "\${prefix}"
        OUTPUT_VARIABLE pc_lib_folder)
    cmake_path(ABSOLUTE_PATH CHATSTORE_INCLUDE_FOLDER BASE_DIRECTORY "\${prefix}"
        OUTPUT_VARIABLE pc_include_folder)
    configure_file("${PROJECT_SOURCE_DIR}/packaging/chatstore.pc.in"
        "${PROJECT_BINARY_DIR}/packaging/chatstore.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/packaging/chatstore.pc"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

    set(lib_folder "${CMAKE_INSTALL_LIBDIR}")
    set(include_folder "${CHATSTORE_INCLUDE_FOLDER}")
    configure_package_config_file("${PROJECT_SOURCE_DIR}/packaging/chatstoreConfig.cmake.in"
        "${PROJECT_BINARY_DIR}/packaging/chatstoreConfig.cmake"
        INSTALL_DESTINATION "${CHATSTORE_CMAKE_FOLDER}"
        PATH_VARS lib_folder include_folder)
    write_basic_package_version_file("${PROJECT_BINARY_DIR}/packaging/chatstoreConfigVersion.cmake"
        VERSION "${PROJECT_VERSION}" COMPATIBILITY SameMinorVersion)
    install(FILES "${PROJECT_BINARY_DIR}/packaging/chatstoreConfig.cmake"
        "${PROJECT_BINARY_DIR}/packaging/chatstoreConfigVersion.cmake"
        DESTINATION "${CHATSTORE_CMAKE_FOLDER}")
    set_property(GLOBAL PROPERTY CHATSTORE_LIBRARY_INSTALLED ON)
endfunction()
