//! Single rules of direct paging, one test each.
