# How the build runs the generator.

# Internal cache entries, so that every room sees them.
set(CHATSTORE_GENERATOR_DIR "${CMAKE_CURRENT_LIST_DIR}" CACHE INTERNAL "")
set(CHATSTORE_GENERATED_DIR "${PROJECT_BINARY_DIR}/generated" CACHE INTERNAL "")
set(CHATSTORE_PROTO_DIR "${PROJECT_SOURCE_DIR}/proto" CACHE INTERNAL "")
set(CHATSTORE_DESCRIPTOR_SET "${CHATSTORE_GENERATED_DIR}/set.pb" CACHE INTERNAL "")
file(GLOB sources CONFIGURE_DEPENDS "${CHATSTORE_GENERATOR_DIR}/*.py")
set(CHATSTORE_GENERATOR_SOURCES "${sources}" CACHE INTERNAL "")

# Makes the rule by which `generate.py WHAT` writes OUTPUTS (relative to the generated folder).
function(chatstore_run_generator what)
    cmake_parse_arguments(PARSE_ARGV 1 run "" "" "OUTPUTS;INPUTS")
    list(TRANSFORM run_OUTPUTS PREPEND "${CHATSTORE_GENERATED_DIR}/")
    # The generator leaves alone what would not change; the stamp is what make and ninja compare.
    set(stamp "${CHATSTORE_GENERATED_DIR}/${what}.stamp")
    add_custom_command(OUTPUT "${stamp}" BYPRODUCTS ${run_OUTPUTS}
        COMMAND "${CHATSTORE_PYTHON}" -B "${CHATSTORE_GENERATOR_DIR}/generate.py" ${what}
            --set "${CHATSTORE_DESCRIPTOR_SET}" --proto-dir "${CHATSTORE_PROTO_DIR}"
            --out "${CHATSTORE_GENERATED_DIR}" ${run_INPUTS}
        COMMAND "${CMAKE_COMMAND}" -E touch "${stamp}"
        DEPENDS ${CHATSTORE_GENERATOR_SOURCES} "${CHATSTORE_DESCRIPTOR_SET}" ${run_INPUTS}
        COMMENT "Generating from the ${what}" VERBATIM)
    add_custom_target(chatstore_generated_${what} DEPENDS "${stamp}")
endfunction()

# Makes the library TARGET of the SQL blocks in FILES: call_sql[], header "sql_blocks.h".
function(chatstore_add_sql_blocks target)
    chatstore_run_generator(sql OUTPUTS sql_blocks.c sql_blocks.h INPUTS ${ARGN})
    add_library(${target} STATIC "${CHATSTORE_GENERATED_DIR}/sql_blocks.c")
    add_dependencies(chatstore_generated_sql chatstore_generated_contract)
    add_dependencies(${target} chatstore_generated_sql)
    target_include_directories(${target} PUBLIC "${CHATSTORE_GENERATED_DIR}")
    target_link_libraries(${target} PRIVATE chatstore_build)
endfunction()
