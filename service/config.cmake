# The configuration of the service; included by service/CMakeLists.txt. toml.cc takes toml++ from
# its header alone and lets no C++ out: no exceptions, no RTTI.
add_library(chatstore_config STATIC
    ${CMAKE_CURRENT_LIST_DIR}/config.c
    ${CMAKE_CURRENT_LIST_DIR}/config_access.c
    ${CMAKE_CURRENT_LIST_DIR}/config_access_schema.c
    ${CMAKE_CURRENT_LIST_DIR}/config_listen.c
    ${CMAKE_CURRENT_LIST_DIR}/config_paths.c
    ${CMAKE_CURRENT_LIST_DIR}/config_print.c
    ${CMAKE_CURRENT_LIST_DIR}/config_read.c
    ${CMAKE_CURRENT_LIST_DIR}/config_report.c
    ${CMAKE_CURRENT_LIST_DIR}/config_resolve.c
    ${CMAKE_CURRENT_LIST_DIR}/config_schema.c
    ${CMAKE_CURRENT_LIST_DIR}/toml.cc)
set_target_properties(chatstore_config PROPERTIES POSITION_INDEPENDENT_CODE ON)
target_include_directories(chatstore_config PUBLIC ${PROJECT_SOURCE_DIR})
target_compile_options(chatstore_config PRIVATE
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions> $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
target_link_libraries(chatstore_config
    PRIVATE chatstore_flags chatstore_toml m PUBLIC chatstore_router)
