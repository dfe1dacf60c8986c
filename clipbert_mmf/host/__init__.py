"""The only code that knows which MMF, torch and transformers is there."""
