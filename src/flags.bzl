"""Settings of the build that are changed for a part of it."""

def _bool_flag_impl(_ctx):
    return []

bool_flag = rule(
    implementation = _bool_flag_impl,
    build_setting = config.bool(flag = True),
    doc = "True or False; read by config_setting.",
)
