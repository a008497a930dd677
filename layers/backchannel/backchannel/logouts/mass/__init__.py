"""Mass logouts: all sessions of a provider, of a client or of a list of subjects, ended at a bounded rate."""
