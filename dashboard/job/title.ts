import { useEffect } from 'react';

/** Says in the tab's title what goes on; the plain title comes back when nothing does. */
export function useTitle(text: string | undefined): void {
  useEffect(() => {
    document.title = text === undefined ? 'ngbak' : `${text} – ngbak`;
    return () => {
      document.title = 'ngbak';
    };
  }, [text]);
}
