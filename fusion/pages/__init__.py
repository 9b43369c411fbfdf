"""The portal's pages: what is written on them lies in a pack, what is done with them in the other modules.

Reading order: `spot`, `entrance` and `pack` (a portal as data), `pack_file` (read and checked), `values` (canonical <->
shown), `tab` and `cover` (one page and what may come over it), `door` (log-in, code and lock), `standing` and `memory`
(what may keep us out, and what of that a restart must not forget), then `search`, `chart`, `edits`, `form` and
`widgets`; `outline` is what is kept of a page after a surprise. No module but a pack names a label, a selector or an
address.
"""
