"""How runs are shown: tables, figures, pages."""
