"""What OpenMMLab's libraries call before they build from a config."""

from mmengine import registry


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register all that configs can name, as the functions of this name in other libraries do.

    MMEngine's ``mmengine.hub.get_model('mmdia::...')`` calls it.

    Args:
        init_default_scope (bool): Whether to make ``mmdia`` the default scope. Defaults
            to True.
    """
    import mmdia.datasets
    import mmdia.engine
    import mmdia.models  # noqa: F401

    if init_default_scope:
        registry.init_default_scope('mmdia')
